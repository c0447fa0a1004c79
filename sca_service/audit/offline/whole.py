"""Whether evidence is whole: a copy of the log is verified and searched for events of the challenge it leaves out."""

from collections.abc import Iterator, Sequence

from sca_service.audit.offline.canonical import write_canonical
from sca_service.audit.offline.evidence import Checked
from sca_service.audit.offline.findings import Finding, Kind, Refused, Report
from sca_service.audit.offline.leaf import read_leaf
from sca_service.audit.offline.note import VerifierKey
from sca_service.audit.offline.recompute import Progress
from sca_service.audit.offline.source import Source, stretches
from sca_service.audit.offline.verify import Demands, Held, open_checkpoint, verify


def search(
    checked: Checked,
    copy: Source,
    keys: Sequence[VerifierKey],
    *,
    pruned_below: int = 0,
    progress: Progress = lambda _, __: None,
) -> Report:
    """Verify the copy, also against the checkpoint of the evidence, and say which events of the challenge it has more.

    Raises Refused when the copy's checkpoint cannot be believed, or is older than that of the evidence.
    """
    try:
        newest = open_checkpoint(copy, keys)
    except Refused as refusal:
        raise Refused(f"the checkpoint of the copy cannot be believed: {refusal}") from None
    if newest.origin == checked.checkpoint.origin and newest.size < checked.checkpoint.size:
        what = f"the copy has {newest.size} leaves, the evidence is of {checked.checkpoint.size}"
        raise Refused(f"{what}: bring the copy up to date (`sca audit mirror`)")
    held = Held("the checkpoint of the evidence", checked.checkpoint.content)
    report = verify(copy, Demands(keys, [held], pruned_below=pruned_below), progress)
    if report.leaves_taken_as_given:
        report.remarks.append(
            f"the copy has no entries of {report.leaves_taken_as_given} leaves; "
            "events of the challenge may be among them"
        )
    if report.holds:  # else its leaves are not those that were signed
        for finding in _left_out(checked, copy, report.size):
            report.add(finding)
    return report


def _left_out(checked: Checked, copy: Source, size: int) -> Iterator[Finding]:
    """The leaves about the challenge that are not in the evidence."""
    known = {event.index for event in checked.events}
    member = f'"challenge":{write_canonical(checked.challenge)}'.encode("utf-8", "surrogatepass")
    for stretch in stretches(copy, start=0, size=size):
        for index, entry in enumerate(stretch.entries or (), stretch.place.first_leaf):
            if index in known or member not in entry:
                continue
            leaf = read_leaf(entry)
            if leaf.get("challenge") == checked.challenge:
                what = f"leaf {index} ({leaf['id']}, {leaf['type']}) is about the challenge and not in the evidence"
                if index >= checked.checkpoint.size:
                    what += "; it came after the checkpoint of the evidence"
                yield Finding(Kind.LEFT_OUT, what, index, index, stretch.place.path)
