"""The connector "local": tasks in an SQLite file, for the processes of one machine.

schema   the layout            database  connection, transaction, errors     files   paths and refusals
lanes    tasks in the file     spans     what a consumer holds               wake    FIFOs
records, joins, following, effects: the extra `effects`, on top of pushing, below settling
counted, flow, flowing: the extra `flow`; a queue that has never seen a ticket comes near none of it
places   what `look` and `steer` exchange with people
base → consumers, settling, lease, release, pushing, looking, steering, notices, letters, keys, history, ledger: the verbs by theme, put together here
"""

from __future__ import annotations

from regiment_local.flowing import Flowed
from regiment_local.history import History
from regiment_local.keys import Keys
from regiment_local.lease import Leases
from regiment_local.ledger import Ledger
from regiment_local.letters import Letters
from regiment_local.looking import Looking
from regiment_local.notices import Notices
from regiment_local.release import Releases
from regiment_local.steering import Steering


class LocalConnector(Leases, Releases, Flowed, Looking, Steering, Notices, Letters, Keys, History, Ledger):
    """Tasks in an SQLite file; see `regiment.contracts.Connector`. `url`, `path`, or the default `.regiment/queue.db`."""
