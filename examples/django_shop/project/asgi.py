"""What an ASGI server serves: the shop, and the dashboard of its queues at /regiment/ for its staff."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
application = get_asgi_application()  # sets the project up; what is imported below needs that

from regiment_django.dashboard import with_dashboard  # noqa: E402

application = with_dashboard(application)
