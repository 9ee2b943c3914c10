"""Calls the tasks of the project while workers run: python use.py"""

from proj.tasks import add, fragile, hopeless, mul, report, xsum

from regiment_celery import chain, chord, group

if __name__ == "__main__":
    result = add.delay(2, 2)
    print("add:", result.get(timeout=30), result.state)
    print("mul, in its own queue:", mul.apply_async((4, 5), countdown=0.1).get(timeout=30))
    print("fragile:", fragile.delay(2).get(timeout=30))

    failed = hopeless.apply_async(link_error=report.s())
    try:
        failed.get(timeout=30)
    except OSError as error:
        print("hopeless:", error, failed.state)

    add.apply_async((2, 2), link=add.s(16))
    print("chain:", chain(add.s(4, 4) | mul.s(8) | mul.s(10))().get(timeout=30))
    print("group:", group(add.s(i, i) for i in range(10))().get(timeout=30))
    print("chord:", chord((add.s(i, i) for i in range(10)), xsum.s())().get(timeout=30))
    print("partial:", (add.s(1, 1) | group(add.s(10), mul.s(10)) | xsum.s()).delay().get(timeout=30))
