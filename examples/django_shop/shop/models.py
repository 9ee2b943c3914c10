"""What the shop keeps."""

from django.db import models


class Product(models.Model):
    name = models.CharField(max_length=100, unique=True)
    cents = models.PositiveIntegerField()
    stock = models.PositiveIntegerField()


class Order(models.Model):
    product = models.ForeignKey(Product, on_delete=models.PROTECT)
    pieces = models.PositiveIntegerField()
    email = models.EmailField()
    receipt = models.CharField(max_length=200, blank=True)
    """What was sent to the customer; empty until then."""
