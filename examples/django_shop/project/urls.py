"""Addresses of the shop."""

from django.contrib import admin
from django.contrib.staticfiles.urls import staticfiles_urlpatterns
from django.urls import path
from shop import views

urlpatterns = [
    path("admin/", admin.site.urls),
    path("orders/", views.order),
    path("orders/<int:number>/", views.show),
    path("sales/", views.sales),
    path("sales/<str:id>/", views.sold),
]
urlpatterns += staticfiles_urlpatterns()  # of the admin, also where no runserver serves them; while DEBUG is on
