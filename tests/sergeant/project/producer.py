"""A producer in the form of Sergeant's: an instance of the worker, its broker, its pushes."""

import consumers


def main():
    worker = consumers.Consumer()
    worker.init_broker()
    worker.purge_tasks()
    worker.apply_async_one(kwargs={"number": 0})
    worker.push_tasks(kwargs_list=[{"number": number} for number in range(1, 20)])
    print(worker.number_of_enqueued_tasks())


if __name__ == "__main__":
    main()
