"""The outbox: pushes that are part of a transaction, until they are relayed to their store; and the permission of the dashboard."""

from __future__ import annotations

from django.db import models


class Outbox(models.Model):  # type: ignore[misc]
    """One push of one task, encoded. Written by `regiment_django.outbox`, read and deleted by `regiment_django.relay`."""

    id = models.BigAutoField(primary_key=True)
    queue = models.CharField(max_length=200, db_index=True)
    task = models.CharField(max_length=200)
    """The task's id: the store leaves out what it knows already."""
    payload = models.BinaryField()
    priority = models.SmallIntegerField(default=1)
    due = models.FloatField(null=True)
    """Seconds since the epoch; null: at once."""
    # Named for what it is in SQL: "window" is a word of its own there.
    id_window = models.FloatField()
    """Seconds for which the store remembers the id."""
    effects = models.TextField(default="")
    """Records that are kept in the step that pushes (JSON); empty without any."""
    reason = models.TextField(default="")
    """Why its store refuses it; empty for one that is to be relayed."""

    class Meta:
        db_table = "regiment_outbox"
        verbose_name = "push in the outbox"
        verbose_name_plural = "pushes in the outbox"

    def __str__(self) -> str:
        return f"{self.task} for queue {self.queue}"


class Dashboard(models.Model):  # type: ignore[misc]
    """No table: the permission to act on the dashboard, and its line in the admin."""

    id = models.BigAutoField(primary_key=True)

    class Meta:
        managed = False
        default_permissions = ()
        permissions = [("operate_dashboard", "Can act on the dashboard")]
        verbose_name = "dashboard"
        verbose_name_plural = "dashboard"
