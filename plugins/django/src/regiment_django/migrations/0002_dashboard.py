from django.db import migrations, models


class Migration(migrations.Migration):  # type: ignore[misc]
    dependencies: list[tuple[str, str]] = [("regiment_django", "0001_initial")]

    operations = [
        migrations.CreateModel(
            name="Dashboard",
            fields=[("id", models.BigAutoField(primary_key=True, serialize=False))],
            options={
                "verbose_name": "dashboard",
                "verbose_name_plural": "dashboard",
                "managed": False,
                "default_permissions": (),
                "permissions": [("operate_dashboard", "Can act on the dashboard")],
            },
        ),
    ]
