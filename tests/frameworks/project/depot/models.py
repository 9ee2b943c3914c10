"""What the depot keeps."""

from __future__ import annotations

from django.db import models


class Parcel(models.Model):
    name = models.CharField(max_length=100)
    sent = models.IntegerField(default=0)
