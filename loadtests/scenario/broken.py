"""An api with one thing wrong, for a run to notice: `python -m loadtests.scenario.broken <fault> --config <file>`.

generous  tells a used code's second answer that it is approved as well
"""

import sys
from dataclasses import replace
from pathlib import Path

from sca_service import app, web
from sca_service.challenges.answer import Answer
from sca_service.challenges.issue import Caller
from sca_service.challenges.model import ChallengeId, Outcome
from sca_service.challenges.verify import Verified, Verifier
from sca_service.settings import read_settings


class GenerousVerifier(Verifier):
    """Takes a used code for a new one."""

    async def verify(self, caller: Caller, challenge: ChallengeId, answer: Answer) -> Verified:
        """What the answer came to, or an approval of what was approved already."""
        verified = await super().verify(caller, challenge, answer)
        if verified.outcome is not Outcome.ALREADY_USED:
            return verified
        view = verified.view
        again = self._signer.sign(view.state, view.fixed, view.private)
        return replace(verified, outcome=Outcome.APPROVED, authentication_code=again)


def generous() -> None:
    """Approve again."""
    web.Verifier = GenerousVerifier  # type: ignore[attr-defined]


FAULTS = {one.__name__: one for one in (generous,)}


if __name__ == "__main__":
    FAULTS[sys.argv[1]]()
    app.run_role("api", read_settings(Path(sys.argv[-1])))
