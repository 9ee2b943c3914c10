"""The shop's own tests: `python manage.py test`. No worker and no store: `capture` runs the tasks here."""

from django.test import TestCase

from regiment_testing import capture
from shop.models import Order, Product
from shop.tasks import send_receipt


class Orders(TestCase):
    def setUp(self) -> None:
        self.book = Product.objects.create(name="book", cents=1250, stock=3)

    def order(self, pieces: int) -> object:
        asked = {"product": "book", "pieces": pieces, "email": "ada@example.org"}
        return self.client.post("/orders/", asked, content_type="application/json")

    def test_an_order_lowers_the_stock_and_sends_a_receipt_after_its_commit(self) -> None:
        with capture() as queue:
            with self.captureOnCommitCallbacks(execute=True):
                answer = self.order(2)
                self.assertEqual(queue.pushed, [])  # the test's own transaction is open yet
            self.assertEqual(answer.status_code, 201)
            number = answer.json()["order"]
            queue.assert_pushed(send_receipt, order=number)
            queue.drain()
            queue.assert_none_dead()
        self.book.refresh_from_db()
        self.assertEqual(self.book.stock, 1)
        self.assertEqual(self.client.get(f"/orders/{number}/").json()["receipt"], "ada@example.org")

    def test_what_is_sold_out_leaves_no_order_and_no_task(self) -> None:
        with capture() as queue, self.captureOnCommitCallbacks(execute=True) as calls:
            self.assertEqual(self.order(4).status_code, 409)
            self.assertEqual(queue.pushed, [])
        self.assertEqual((calls, Order.objects.count()), ([], 0))

    def test_a_receipt_is_sent_once_however_often_its_task_runs(self) -> None:
        made = Order.objects.create(product=self.book, pieces=1, email="ada@example.org")
        send_receipt(made.pk)
        Order.objects.update(email="grace@example.org")
        send_receipt(made.pk)
        made.refresh_from_db()
        self.assertEqual(made.receipt, "ada@example.org")

    def test_sales_are_counted_by_a_task_of_djangos_framework(self) -> None:
        Order.objects.create(product=self.book, pieces=2, email="ada@example.org")
        with capture() as queue:
            with self.captureOnCommitCallbacks(execute=True):
                started = self.client.post("/sales/", {"product": "book"}, content_type="application/json").json()
            self.assertEqual(self.client.get(f"/sales/{started['id']}/").json(), {"status": "READY", "cents": None})
            queue.drain()
            told = self.client.get(f"/sales/{started['id']}/").json()
        self.assertEqual(told, {"status": "SUCCESSFUL", "cents": 2500})
        self.assertEqual(self.client.get("/sales/never/").status_code, 404)
