"""Networks of CharmNet and iDIH."""
