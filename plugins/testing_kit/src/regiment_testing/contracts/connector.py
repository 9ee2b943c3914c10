"""The examination of a connector: every promise of `regiment.contracts.Connector`, by themes."""

from __future__ import annotations

from regiment_testing.contracts.acting import ActingContract
from regiment_testing.contracts.applying import ApplyingContract
from regiment_testing.contracts.budgets import BudgetContract
from regiment_testing.contracts.capable import CapableContract
from regiment_testing.contracts.effects import EffectsContract
from regiment_testing.contracts.entering import EnteringContract
from regiment_testing.contracts.flowing import FlowingContract
from regiment_testing.contracts.following import FollowingContract
from regiment_testing.contracts.gating import GatingContract
from regiment_testing.contracts.glancing import GlancingContract
from regiment_testing.contracts.joins import JoinsContract
from regiment_testing.contracts.keeping import KeepingContract
from regiment_testing.contracts.keyed import KeyedContract
from regiment_testing.contracts.keys import KeysContract
from regiment_testing.contracts.lease import LeaseContract
from regiment_testing.contracts.letters import LettersContract
from regiment_testing.contracts.looking import LookingContract
from regiment_testing.contracts.moving import MovingContract
from regiment_testing.contracts.programs import ProgramContract
from regiment_testing.contracts.push import PushContract
from regiment_testing.contracts.recording import RecordingContract
from regiment_testing.contracts.release import ReleaseContract
from regiment_testing.contracts.replacing import ReplacingContract
from regiment_testing.contracts.sending import SendingContract
from regiment_testing.contracts.settling import SettlingContract
from regiment_testing.contracts.standing import StandingContract
from regiment_testing.contracts.steering import SteeringContract
from regiment_testing.contracts.turning import TurningContract
from regiment_testing.contracts.turns import TurnContract
from regiment_testing.contracts.waiting import WaitingContract


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
    EffectsContract,
    SendingContract,
    KeepingContract,
    ApplyingContract,
    JoinsContract,
    FollowingContract,
    GlancingContract,
    SteeringContract,
    MovingContract,
    ActingContract,
    RecordingContract,
    EnteringContract,
    FlowingContract,
    StandingContract,
    BudgetContract,
    GatingContract,
    TurningContract,
    KeyedContract,
    ReplacingContract,
    ProgramContract,
):
    """Subclass it with `capabilities = YourConnector.capabilities` and the fixture `connect`.

    The name of a check is a sentence, its docstring the promise. Checks of capabilities that `capabilities` does not
    claim are skipped. A check cannot be replaced or dropped; `excused` names checks that are known to fail, with the
    reason. A store whose order between lanes is its best effort sets `lanes_in_order = False`. Periods are tenths of seconds; every judgement allows seconds of slack.
    """
