"""The page: what is on it, and what happens when something is clicked. Gradio takes seconds to import."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from charmnet.arrays import UInt8Array
from charmnet.blending import Adjustment
from charmnet.errors import CharmNetError
from pipelines.demo.pictures import preview
from pipelines.demo.work import FORMATS, PageWork

_FROM_FILE, _PAINTED = "from a file", "painted here"
_WIDEST_FEATHER = 100  # pixels; the command line takes more
_EDITOR_SIDE = 1024  # pixels of the picture that is painted on
_BRUSH = "#ff00aa"
_INTRODUCTION = """# CharmNet
A composite's foreground gets the colours that its background asks for. Everything stays on this machine."""
_STYLE = """
.gradio-container { width: 100%; max-width: min(1280px, 100vw) !important; margin: auto; }
.message { margin: 0; padding: 0.5rem 0.75rem; border-left: 4px solid #64748b; overflow-wrap: anywhere; }
.message.problem { border-color: #dc2626; }
.message ul { margin: 0.25rem 0 0 1rem; list-style: disc; }
:focus-visible { outline: 3px solid #2563eb !important; outline-offset: 2px; }
"""


def build_page(work: PageWork, examples: list[tuple[Path, Path]]) -> gr.Blocks:
    """Return the page.

    Args:
        work: harmonizes.
        examples: (composite, mask) that are offered to try it with.
    """
    page: gr.Blocks
    with gr.Blocks(title="CharmNet", analytics_enabled=False, delete_cache=(3600, 86_400)) as page:
        gr.Markdown(_INTRODUCTION)
        with gr.Tab("One picture"):
            _one_picture(work, examples)
        with gr.Tab("Several pictures"):
            _several_pictures(work)
    page.queue(max_size=64, default_concurrency_limit=1, api_open=False)
    return page


def style() -> dict[str, Any]:
    """Return the options of `launch` that say how the page looks; fonts are the browser's own."""
    theme = gr.themes.Default(
        primary_hue="blue", font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]
    )
    return {"theme": theme, "css": _STYLE}


def _one_picture(work: PageWork, examples: list[tuple[Path, Path]]) -> None:
    with gr.Row():
        with gr.Column(min_width=300):
            composite = _picture_file("Composite", "composite", 260)
            kind = gr.Radio([_FROM_FILE, _PAINTED], value=_FROM_FILE, label="Mask of the foreground")
            mask = _picture_file("Mask: white where the foreground is", "mask", 200)
            editor = gr.ImageEditor(
                label="Paint over the foreground",
                sources=(),
                transforms=(),
                layers=False,
                brush=gr.Brush(default_size=40, colors=[_BRUSH], color_mode="fixed"),
                eraser=gr.Eraser(default_size=40),
                canvas_size=(_EDITOR_SIDE, _EDITOR_SIDE),
                visible=False,
                elem_id="editor",
            )
            strength, feather, image_format = _choices("one")
            button = gr.Button("Harmonize", variant="primary", elem_id="harmonize")
        with gr.Column(min_width=300):
            slider = _slider("one-slider")
            message = _message("one-message")
            download = gr.DownloadButton("Download the result", interactive=False, elem_id="one-download")
            download_mask = gr.DownloadButton("Download its mask", interactive=False, elem_id="mask-download")
    outputs = [slider, download, download_mask, message]
    inputs = [composite, kind, mask, editor, strength, feather, image_format]

    def harmonize(
        composite: str | None,
        kind: str,
        mask: str | None,
        editor: dict[str, Any] | None,
        strength: float,
        feather: float,
        image_format: str,
    ) -> tuple[Any, ...]:
        layers = list((editor or {}).get("layers") or [])
        adjustment = Adjustment(strength=strength, feather=feather)
        return _harmonized_one(
            work, composite, layers if kind == _PAINTED else mask, adjustment, image_format
        )

    def again(last: str | None, *values: Any) -> tuple[Any, ...]:
        return harmonize(*values) if last else (gr.skip(),) * len(outputs)

    _on(button.click, harmonize, inputs, outputs)
    for changed in (strength, feather, image_format):
        _on(changed.change, again, [download, *inputs], outputs, trigger_mode="always_last")
    _on(composite.change, _editor_content, [composite], [editor, message])
    _on(kind.change, _shown_mask, [kind], [mask, editor])
    gr.Examples(
        [[str(path) for path in example] for example in examples],
        [composite, mask],
        label="Examples",
        api_visibility="private",
    )


def _several_pictures(work: PageWork) -> None:
    with gr.Row():
        with gr.Column(min_width=300):
            composites = gr.File(
                label="Composites", file_count="multiple", file_types=["image"], elem_id="composites"
            )
            masks = gr.File(
                label="Masks: of the same names, or one for all",
                file_count="multiple",
                file_types=["image"],
                elem_id="masks",
            )
            strength, feather, image_format = _choices("several")
            button = gr.Button("Harmonize all", variant="primary", elem_id="harmonize-all")
        with gr.Column(min_width=300):
            chosen = gr.Dropdown([], label="Show", interactive=True, elem_id="chosen")
            slider = _slider("several-slider")
            message = _message("several-message")
            download = gr.DownloadButton("Download all as ZIP", interactive=False, elem_id="all-download")
            files = gr.File(label="Results", file_count="multiple", interactive=False, elem_id="results")
    finished = gr.State([])

    def harmonize(
        composites: list[str] | None,
        masks: list[str] | None,
        strength: float,
        feather: float,
        image_format: str,
        progress: gr.Progress = gr.Progress(),  # noqa: B008 - how Gradio is told to hand one over
    ) -> tuple[Any, ...]:
        try:
            results = work.harmonize_several(
                composites or [],
                masks or [],
                Adjustment(strength=strength, feather=feather),
                image_format,
                lambda done, total: progress((done, total), unit="pictures"),
            )
        except (CharmNetError, OSError) as error:
            return [], gr.Dropdown([], value=None), None, _no_file(), [], _text([], [str(error)])
        text = f"{len(results.finished)} harmonized, {len(results.problems)} failed"
        names = [(result.name, number) for number, (_, result) in enumerate(results.finished)]
        return (
            results.finished,
            gr.Dropdown(names, value=0 if names else None),
            work.compare(*results.finished[0]) if names else None,
            gr.DownloadButton(value=results.archive, interactive=True) if names else _no_file(),
            [str(result) for _, result in results.finished],
            _text([text, *results.warnings], results.problems),
        )

    def show(number: int | None, finished: list[tuple[Path, Path]]) -> Any:
        return work.compare(*finished[number]) if number is not None and finished else None

    outputs = [finished, chosen, slider, download, files, message]
    _on(button.click, harmonize, [composites, masks, strength, feather, image_format], outputs)
    _on(chosen.input, show, [chosen, finished], [slider])


def _on(event: Callable[..., Any], function: Callable[..., Any], *places: Any, **options: Any) -> None:
    """Have an event call a function that no client but the page may call."""
    event(function, *places, api_visibility="private", **options)


def _picture_file(label: str, name: str, height: int) -> gr.Image:
    """Return a picture that is handed over as the file it was, so that the project's own checks come first.

    Gradio's would decode it, and answer what is no picture without a reason. (A class of its own would have
    Gradio write a file beside this one.)
    """
    picture = gr.Image(
        label=label, sources=["upload", "clipboard"], type="filepath", height=height, elem_id=name
    )
    picture.preprocess = _uploaded_path  # type: ignore[method-assign]
    return picture


def _uploaded_path(payload: Any) -> str | None:
    return payload.path if payload is not None else None


def _choices(name: str) -> tuple[gr.Slider, gr.Slider, gr.Radio]:
    """Return the inputs for strength, soft edge and format."""
    return (
        gr.Slider(0, 1, 1, step=0.05, label="Strength", elem_id=f"{name}-strength"),
        gr.Slider(0, _WIDEST_FEATHER, 0, step=1, label="Soft edge, in pixels", elem_id=f"{name}-feather"),
        gr.Radio(FORMATS, value=FORMATS[0], label="Format of the result", elem_id=f"{name}-format"),
    )


def _slider(name: str) -> gr.ImageSlider:
    return gr.ImageSlider(label="Before and after", interactive=False, buttons=["fullscreen"], elem_id=name)


def _message(name: str) -> gr.HTML:
    return gr.HTML("", elem_id=name, container=False)


def _no_file() -> Any:
    return gr.DownloadButton(value=None, interactive=False)


def _text(remarks: list[str], problems: list[str]) -> str:
    """Return a message, read aloud by screen readers; what it says is text and no markup."""
    parts = [
        f'<div class="message {kind}" role="{role}">{_lines(lines)}</div>'
        for kind, role, lines in (("problem", "alert", problems), ("", "status", remarks))
        if lines
    ]
    return "".join(parts)


def _lines(lines: list[str]) -> str:
    first, *others = (escape(line) for line in lines)
    return first + ("<ul>" + "".join(f"<li>{line}</li>" for line in others) + "</ul>" if others else "")


def _harmonized_one(
    work: PageWork,
    composite: str | None,
    mask: str | list[UInt8Array] | None,
    adjustment: Adjustment,
    image_format: str,
) -> tuple[Any, ...]:
    """Return values of slider, both download buttons and message."""
    try:
        result = work.harmonize_one(composite, mask, adjustment, image_format)
    except (CharmNetError, OSError) as error:
        return None, _no_file(), _no_file(), _text([], [str(error)])
    return (
        (result.before, result.after),
        gr.DownloadButton(value=result.file, interactive=True),
        gr.DownloadButton(value=result.mask, interactive=True),
        _text([f"{result.file.name} is ready", *result.warnings], []),
    )


def _editor_content(composite: str | None) -> tuple[Any, Any]:
    """Return what is painted on, and a message where the picture cannot be used."""
    if composite is None:
        return None, ""
    try:
        pixels = preview(Path(composite).read_bytes(), _EDITOR_SIDE).pixels
    except (CharmNetError, OSError) as error:
        return None, _text([], [f"{Path(composite).name}: {error}"])
    return {"background": pixels, "layers": [], "composite": None}, ""


def _shown_mask(kind: str) -> tuple[Any, Any]:
    return gr.Image(visible=kind == _FROM_FILE), gr.ImageEditor(visible=kind == _PAINTED)
