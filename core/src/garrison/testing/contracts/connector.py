"""The examination of a connector: every promise of `garrison.contracts.Connector`, by themes."""

from __future__ import annotations

from garrison.testing.contracts.capable import CapableContract
from garrison.testing.contracts.keys import KeysContract
from garrison.testing.contracts.lease import LeaseContract
from garrison.testing.contracts.letters import LettersContract
from garrison.testing.contracts.looking import LookingContract
from garrison.testing.contracts.push import PushContract
from garrison.testing.contracts.release import ReleaseContract
from garrison.testing.contracts.settling import SettlingContract
from garrison.testing.contracts.turns import TurnContract
from garrison.testing.contracts.waiting import WaitingContract


class ConnectorContract(
    PushContract,
    LeaseContract,
    SettlingContract,
    TurnContract,
    ReleaseContract,
    WaitingContract,
    LettersContract,
    LookingContract,
    KeysContract,
    CapableContract,
):
    """Subclass it with `capabilities = YourConnector.capabilities` and the fixture `connect`.

    The checks are sentences, their docstrings say the promise. What `capabilities` do not claim is not asked; a check
    cannot be replaced or dropped; `excused` names those that are known to fail, with the reason. Periods are tenths of seconds; nothing is judged by less than seconds of slack.
    """
