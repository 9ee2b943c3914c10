"""The shop's tasks: found by themselves, as every `tasks.py` of an application."""

from django.db.models import F, Sum
from django_tasks import task

from regiment_django import Queue
from shop.models import Order

mail = Queue("mail")


@mail.task
def send_receipt(order: int) -> None:
    """Runs after the commit of the order, so the order is there; if it runs twice, the second time does nothing."""
    Order.objects.filter(pk=order, receipt="").update(receipt=F("email"))


@task()
def sales(product: str) -> int:
    """A task of Django's own framework: cents earned with a product."""
    orders = Order.objects.filter(product__name=product)
    return orders.aggregate(cents=Sum(F("pieces") * F("product__cents")))["cents"] or 0
