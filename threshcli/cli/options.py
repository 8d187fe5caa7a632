"""The options that all rules share, each once; their texts are the help and the README's reference."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from threshcli import packings
from threshcli.cli import _completion

INPUT, THRESHOLDS, SELECTION, OUTPUT = "Input", "Threshold", "Selection", "Output"
RUNNING, REPORT = "Running", "Report"


def _option(*names: str, help: str, panel: str, **more: Any) -> Any:
    return typer.Option(*names, help=help, rich_help_panel=panel, show_default=more.pop("show_default", False), **more)


Files = Annotated[
    list[str] | None,
    typer.Argument(
        help="Tensor files: .npy, .safetensors, .pt; folders stand for those in them, the index (.json) of a sharded "
        "checkpoint for its shards; - for standard input.",
        metavar="FILE...",
        show_default=False,
    ),
]
Recursive = Annotated[
    bool, _option("--recursive", help="Look for files in the folders within folders, too.", panel=INPUT)
]
Glob = Annotated[
    list[str] | None,
    _option(
        "--glob",
        metavar="PATTERN",
        help="Take files of folders whose names match (with a /: whose paths below the folder do). Repeatable. "
        "Default: by extension.",
        panel=INPUT,
    ),
]
FilesFrom = Annotated[
    str | None,
    _option(
        "--files-from",
        metavar="LIST",
        help="Take names from this file, too, a line each; - for standard input.",
        panel=INPUT,
    ),
]
Null = Annotated[
    bool, _option("--null", "-0", help="Names of --files-from end with NUL, as find -print0 has it.", panel=INPUT)
]
Shard = Annotated[
    str | None,
    _option(
        "--shard",
        metavar="I/N",
        help="Take the I-th of N shares of the files, I from 0, whatever their order. A share may be empty.",
        panel=INPUT,
    ),
]
Broadcast = Annotated[bool, _option("--broadcast", help="A map may broadcast to the tensor's shape.", panel=THRESHOLDS)]
Scope = Annotated[
    str,
    _option(
        "--scope",
        metavar="SCOPE",
        help="Over what a threshold is worked out: tensor, axis:N, file or global (all inputs). Default: tensor.",
        panel=THRESHOLDS,
    ),
]
Ties = Annotated[
    Literal["first", "all", "none"],
    _option("--ties", help="Which elements equal to a cut by rank stay. Default: first.", panel=THRESHOLDS),
]
Scale = Annotated[
    str | None,
    _option("--scale", metavar="NUMBER", help="Multiply a worked-out threshold by this.", panel=THRESHOLDS),
]
Offset = Annotated[
    str | None,
    _option("--offset", metavar="NUMBER", help="Add this to a worked-out threshold, after --scale.", panel=THRESHOLDS),
]
AtLeast = Annotated[
    str | None,
    _option("--at-least", metavar="NUMBER", help="Raise a worked-out threshold to this.", panel=THRESHOLDS),
]
AtMost = Annotated[
    str | None,
    _option("--at-most", metavar="NUMBER", help="Lower a worked-out threshold to this.", panel=THRESHOLDS),
]
IgnoreZero = Annotated[
    bool, _option("--ignore-zero", help="Work thresholds out from elements that are not zero.", panel=THRESHOLDS)
]
EstimateMask = Annotated[
    str | None,
    _option(
        "--estimate-mask",
        metavar="FILE",
        help="Work thresholds out from elements where this map is not zero.",
        panel=THRESHOLDS,
    ),
]
Axes = Annotated[
    str | None,
    _option(
        "--axes",
        metavar="N,N,...",
        help="Axes along which elements are neighbours, for windows and hysteresis: 1,2 keeps the images of a batch "
        "apart. Default: all.",
        panel=THRESHOLDS,
    ),
]
Bins = Annotated[
    int,
    _option(
        "--bins",
        metavar="N",
        help="Bins of histograms of floats and of wide integers, for otsu and its like. Default: 256.",
        panel=THRESHOLDS,
        min=2,
        max=1 << 20,
    ),
]
Tensor = Annotated[
    list[str] | None,
    _option(
        "--tensor",
        "-k",
        metavar="GLOB",
        help="Work on tensors whose names match; others are copied unchanged. Repeatable. Default: all.",
        panel=SELECTION,
        autocompletion=_completion.tensors,
    ),
]
Exclude = Annotated[
    list[str] | None,
    _option(
        "--exclude",
        "-x",
        metavar="GLOB",
        help="Leave matching tensors as they are. Repeatable.",
        panel=SELECTION,
        autocompletion=_completion.tensors,
    ),
]
Output = Annotated[
    str | None,
    _option(
        "--output",
        "-o",
        metavar="PATH",
        help="Output file, a template with {dir} {stem} {ext} {name} {rel} {rule} {i}, or - for standard output.",
        panel=OUTPUT,
    ),
]
OutDir = Annotated[
    str | None,
    _option("--out-dir", "-O", metavar="DIR", help="Write outputs here, under their inputs' names.", panel=OUTPUT),
]
KeepTree = Annotated[
    bool,
    _option("--keep-tree", help="With -O: keep the inputs' folders below it.", panel=OUTPUT),
]
InPlace = Annotated[bool, _option("--in-place", help="Replace the inputs.", panel=OUTPUT)]
Residual = Annotated[
    str | None,
    _option(
        "--residual", metavar="PATH", help="Also write what was dropped, x - y, to this file or template.", panel=OUTPUT
    ),
]
Overwrite = Annotated[bool, _option("--overwrite", help="Replace outputs that exist.", panel=OUTPUT)]
SkipExisting = Annotated[
    bool,
    _option(
        "--skip-existing",
        help="Leave outputs that are complete and what would be written; others are errors, or made again with "
        "--overwrite.",
        panel=OUTPUT,
    ),
]
DryRun = Annotated[
    bool, _option("--dry-run", "-n", help="Show what would be done, from the headers; write nothing.", panel=OUTPUT)
]
To = Annotated[
    Literal["npy", "pt", "safetensors"] | None,
    _option("--to", help="Format of the output. Default: by its extension, else the input's.", panel=OUTPUT),
]
OutDtype = Annotated[
    str | None,
    _option(
        "--out-dtype",
        metavar="DTYPE",
        help="Dtype of the output: keep, bool, uint8, float16, ... Default: keep.",
        panel=OUTPUT,
    ),
]
Pack = Annotated[
    str | None,
    _option(
        "--pack",
        metavar="|".join(packings.names()),
        help="Small outputs: bits for masks of 0 and 1; bitmask for matrices of weights, mostly zero, in .safetensors. "
        "The way back: thresh unpack.",
        panel=OUTPUT,
    ),
]
Fsync = Annotated[
    bool | None,
    _option("--fsync/--no-fsync", help="Sync outputs to disk. Default: where a file is replaced.", panel=OUTPUT),
]
NoProvenance = Annotated[
    bool, _option("--no-provenance", help="Do not note the recipe in the metadata of .safetensors.", panel=OUTPUT)
]
Sidecar = Annotated[
    bool,
    _option("--sidecar", help="Write the recipe beside each output, too: OUT.thresh.json, for run.", panel=OUTPUT),
]
Device = Annotated[
    str,
    _option(
        "--device",
        "-d",
        metavar="DEVICE",
        envvar="THRESH_DEVICE",
        show_envvar=False,
        help="cpu, cuda, cuda:N, mps, or auto: what is quickest for files, the CPU. Also THRESH_DEVICE. Default: cpu.",
        autocompletion=_completion.devices,
        panel=RUNNING,
    ),
]
Jobs = Annotated[
    str,
    _option(
        "--jobs",
        "-j",
        metavar="N",
        help="Workers, over files and the tiles of large ones: a number or auto (cores). Default: auto.",
        panel=RUNNING,
    ),
]
MaxMemory = Annotated[
    str,
    _option(
        "--max-memory", metavar="SIZE", help="Memory for buffers, over all workers. Default: 64MiB.", panel=RUNNING
    ),
]
Report = Annotated[
    Literal["table", "json", "ndjson", "tsv", "none"] | None,
    _option(
        "--report",
        help="Form of the report, on standard error where an output goes to standard output. Default: table.",
        panel=REPORT,
    ),
]
Json = Annotated[bool, _option("--json", help="The same as --report json.", panel=REPORT)]
ReportFile = Annotated[
    str | None,
    _option(
        "--report-file",
        metavar="PATH",
        help="Write the report to this file, too, as --report says, else by its extension: .json, .ndjson, .tsv.",
        panel=REPORT,
    ),
]
FailIf = Annotated[
    list[str] | None,
    _option(
        "--fail-if",
        metavar="CONDITION",
        help="End with status 1, all done, if this holds of a tensor: NAME OP NUMBER, as in nan>0, kept<1%, "
        "norm_after>=1e4, with names of the report (--json). Repeatable.",
        panel=REPORT,
    ),
]
FailFast = Annotated[bool, _option("--fail-fast", help="Stop at the first file that fails.", panel=RUNNING)]
Progress = Annotated[
    bool | None,
    _option("--progress/--no-progress", help="Progress on standard error. Default: if it is a terminal.", panel=REPORT),
]
Quiet = Annotated[bool, _option("--quiet", "-q", help="No report and no progress; errors only.", panel=REPORT)]
Verbose = Annotated[bool, _option("--verbose", "-v", help="A row for every tensor.", panel=REPORT)]
VerboseCall = Annotated[
    bool, _option("--verbose", "-v", help="A row for every tensor, and a line as each file ends.", panel=REPORT)
]
Color = Annotated[
    Literal["auto", "always", "never"], _option("--color", help="Colour. Default: auto, on terminals.", panel=REPORT)
]
Debug = Annotated[bool, _option("--debug", help="Show a traceback with an error.", panel=REPORT)]
