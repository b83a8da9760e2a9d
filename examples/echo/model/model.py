import os


class Model:
    """Sends back what it gets."""

    def predict(self, request):
        return {"echo": request, "pid": os.getpid()}
