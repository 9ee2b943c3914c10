"""The tasks of this application of Django."""

from regiment_celery import shared_task

from .models import Greeting


@shared_task
def greet(name):
    greeting, _ = Greeting.objects.get_or_create(name=name)
    greeting.times += 1
    greeting.save()
    return greeting.times


@shared_task(name="rename")
def rename(old, new):
    return Greeting.objects.filter(name=old).update(name=new)


@shared_task(bind=True, max_retries=2, default_retry_delay=0.1)
def total(self):
    if not Greeting.objects.exists():
        raise self.retry(exc=Greeting.DoesNotExist("nobody was greeted"))
    return sum(Greeting.objects.values_list("times", flat=True))
