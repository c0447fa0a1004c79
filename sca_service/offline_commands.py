"""`sca audit verify`, `mirror` and `check-evidence`: what an auditor runs on a machine of their own."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from sca_service.audit.offline import evidence, mirror, verify, whole
from sca_service.audit.offline.findings import Refused, Report, printable
from sca_service.audit.offline.note import MOST_NOTE_BYTES, VerifierKey
from sca_service.audit.offline.recompute import Progress as Told
from sca_service.audit.offline.source import Folder, open_source
from sca_service.audit.offline.story import story_of

_Several = Parameter(consume_multiple=False, negative=())
Keys = Annotated[list[str], _Several]
PrunedBelow = Annotated[int, Parameter(name="--pruned-below")]


def verify_log(
    place: str,
    *,
    key: Keys,
    checkpoint: Annotated[list[Path] | None, _Several] = None,
    witness: Annotated[list[str] | None, _Several] = None,
    quorum: int | None = None,
    pruned_below: PrunedBelow = 0,
    copy: Path | None = None,
) -> None:
    """Recompute the whole log and compare it with what you hold; exit status 1 when anything is wrong.

    Parameters
    ----------
    place
        A folder with the log, or its web address (https://…/log).
    key
        A verifier key of the log, got from somewhere else than the log itself. May be given several times, as after
        a rotation.
    checkpoint
        A checkpoint that you have kept: the log must still contain its leaves. May be given several times. One that
        cannot be compared, since what it ends in was pruned, does not hold.
    witness
        A witness's verifier key. May be given several times.
    quorum
        How many of the witnesses must have signed; all of them when left out.
    pruned_below
        Entries below this index may have been pruned, where the log has that on record; their hashes are then taken
        as given, or proven by the copy.
    copy
        A folder that `sca audit mirror` keeps. It names the first leaf that was changed since, and proves what was
        pruned since.
    """
    witnesses = [VerifierKey.parse(one) for one in witness or ()]
    if not all(one.is_witness for one in witnesses):
        raise Refused("the key of a witness must be one of cosignatures (it begins with a byte 04)")
    demands = verify.Demands(
        keys=_keys(key),
        held=[verify.Held(str(path), _content(path, MOST_NOTE_BYTES)) for path in checkpoint or ()],
        witnesses=witnesses,
        quorum=len(witnesses) if quorum is None else _quorum(quorum, len(witnesses)),
        pruned_below=pruned_below,
        copy=Folder(copy) if copy else None,
    )
    with _progress("verifying") as progress:
        report = verify.verify(open_source(place), demands, progress)
    _print(report)
    if not report.holds:
        sys.exit(1)


def mirror_log(url: str, folder: Path, *, key: Keys, pruned_below: PrunedBelow = 0) -> None:
    """Keep a copy of a log; a log that was rolled back or forked is refused, and the copy stays as it was.

    Exit status 1 when it is refused; 2 when it was pruned beyond the copy, and so nobody can tell.

    Parameters
    ----------
    url
        The log's web address (https://…/log), or a folder with it.
    folder
        Where the copy is kept. Its `checkpoints` folder keeps each checkpoint it was brought up to.
    key
        A verifier key of the log. May be given several times.
    pruned_below
        Entries below this index may have been pruned.
    """
    try:
        with _progress("copying") as progress:
            done = mirror.mirror(
                open_source(url), folder, _keys(key), pruned_below=pruned_below, progress=progress
            )
    except mirror.PrunedBeyondCopy as refusal:
        print(f"sca: {refusal.detail}", file=sys.stderr)
        sys.exit(2)
    print(f"The copy has {done.now} leaves, {done.now - done.before} of them new.")


def check_evidence(
    file: Path,
    *,
    key: Annotated[list[str] | None, _Several] = None,
    log: Path | None = None,
    pruned_below: PrunedBelow = 0,
) -> None:
    """Check a file of evidence and tell its story; exit status 1 when it proves nothing, or leaves out an event.

    That no event was left out is not shown by the file, only by a copy of the log.

    Parameters
    ----------
    file
        What `sca audit evidence` wrote: JSON, or the HTML page.
    key
        A verifier key of the log. May be given several times. Without one, the keys inside the file are used.
    log
        A folder that `sca audit mirror` keeps. It is verified, and searched for events of the challenge that the file
        leaves out. Needs a key.
    pruned_below
        Entries of that copy below this index may have been pruned.
    """
    content = _content(file, evidence.MOST_EVIDENCE_BYTES)
    keys = _keys(key or []) if log else [VerifierKey.parse(one) for one in key or ()]
    checked = evidence.check_evidence(content, keys)
    report = None
    if log:
        with _progress("searching") as progress:
            report = whole.search(checked, Folder(log), keys, pruned_below=pruned_below, progress=progress)
        _print_remarks_and_findings(report)
    console = _console()
    for line in story_of(checked, whole=report.holds if report else None):
        console.print(line, markup=False)
    if report and not report.holds:
        sys.exit(1)


def _keys(texts: list[str]) -> list[VerifierKey]:
    keys = [VerifierKey.parse(text) for text in texts]
    if not keys or any(key.is_witness for key in keys):
        raise Refused("--key takes the log's verifier key; a witness's goes to --witness")
    return keys


def _quorum(quorum: int, witnesses: int) -> int:
    if not 0 <= quorum <= witnesses:
        raise Refused("--quorum asks for more witnesses than were given")
    return quorum


def _content(path: Path, most: int) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(most + 1)
    except OSError as error:
        raise Refused(f"{path} cannot be read: {error.strerror}") from None
    if len(content) > most:
        raise Refused(f"{path} is too long")
    return content


def _print(report: Report) -> None:
    """What was looked at, and everything that is wrong, the worst to miss first."""
    if report.origin:
        _say(f"log          {report.origin}")
        _say(f"checkpoint   {report.size} leaves, root {report.root.hex()}")
        _say(f"signed by    {', '.join(report.signed_by)}")
        _say(f"witnesses    {', '.join(report.witnessed_by) or 'none asked for, or none that signed'}")
        compared = [name for name in report.compared if name != verify.YOUR_COPY]
        copy = " and your copy" if len(compared) < len(report.compared) else ""
        _say(
            f"recomputed   {report.leaves_read} leaves, compared with {len(compared)} older checkpoints{copy}"
        )
    if report.leaves_in_copy:
        _say(
            f"in your copy {report.leaves_in_copy} leaves are not there; those of your copy lead to the same hashes"
        )
    if report.leaves_taken_as_given:
        _say(
            f"given        {report.leaves_taken_as_given} leaves are not there; their hashes were taken as given"
        )
    _print_remarks_and_findings(report)
    _say("The log holds." if report.holds else "THE LOG DOES NOT HOLD.", "bold")


def _print_remarks_and_findings(report: Report) -> None:
    for remark in report.remarks:
        _say(f"remark       {remark}")
    for finding in report.findings:
        _say(f"{finding.kind.upper():<12} {finding.what}", "bold red")
    if report.unnamed:
        _say(f"and {report.unnamed} more", "bold red")


def _say(text: str, style: str = "") -> None:
    _console().print(printable(text), style=style, markup=False)


def _console() -> Console:
    return Console(highlight=False, soft_wrap=True)


@contextmanager
def _progress(what: str) -> Iterator[Told]:
    """A bar on standard error, where that is a terminal."""
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, size: bar.update(task, completed=done, total=size)
