"""Who is measured: regiment, its peers and bare loops, each as a system here and as an application."""
