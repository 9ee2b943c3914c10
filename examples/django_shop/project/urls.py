"""Addresses of the shop."""

from django.contrib import admin
from django.urls import path
from shop import views

urlpatterns = [
    path("admin/", admin.site.urls),
    path("orders/", views.order),
    path("orders/<int:number>/", views.show),
    path("sales/", views.sales),
    path("sales/<str:id>/", views.sold),
]
