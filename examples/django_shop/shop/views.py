"""What the shop answers."""

import json

from django.db import transaction
from django.db.models import F
from django.http import HttpRequest, JsonResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.csrf import csrf_exempt
from django_tasks.exceptions import TaskResultDoesNotExist

from shop.models import Order, Product
from shop.tasks import sales as count_sales
from shop.tasks import send_receipt


class SoldOut(Exception):
    pass


@csrf_exempt
def order(request: HttpRequest) -> JsonResponse:
    """Take an order: the order, the stock and the receipt's task, or none of them."""
    asked = json.loads(request.body)
    product = get_object_or_404(Product, name=asked["product"])
    try:
        with transaction.atomic():
            made = Order.objects.create(product=product, pieces=asked["pieces"], email=asked["email"])
            task = send_receipt.push(order=made.pk)  # sent at the commit; the id is known now
            left = Product.objects.filter(pk=product.pk, stock__gte=asked["pieces"])
            if not left.update(stock=F("stock") - asked["pieces"]):
                raise SoldOut  # rolls back the order, and the push with it
    except SoldOut:
        return JsonResponse({"error": "sold out"}, status=409)
    return JsonResponse({"order": made.pk, "task": task.id}, status=201)


def show(request: HttpRequest, number: int) -> JsonResponse:
    """An order."""
    found = get_object_or_404(Order, pk=number)
    return JsonResponse({"order": found.pk, "pieces": found.pieces, "receipt": found.receipt})


@csrf_exempt
def sales(request: HttpRequest) -> JsonResponse:
    """Start counting what a product has earned."""
    return JsonResponse({"id": count_sales.enqueue(json.loads(request.body)["product"]).id}, status=202)


def sold(request: HttpRequest, id: str) -> JsonResponse:
    """What has been counted, once it has."""
    try:
        result = count_sales.get_result(id)
    except TaskResultDoesNotExist:
        return JsonResponse({"error": "no such count"}, status=404)
    value = result.return_value if result.is_finished else None
    return JsonResponse({"status": result.status, "cents": value})
