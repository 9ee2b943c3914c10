from django.db import migrations, models


class Migration(migrations.Migration):  # type: ignore[misc]
    dependencies: list[tuple[str, str]] = [("regiment_django", "0002_dashboard")]

    operations = [migrations.AddField("Outbox", "reason", models.TextField(default=""))]
