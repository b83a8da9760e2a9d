class Model:
    def load(self):
        raise RuntimeError("the weights are nowhere to be found")

    def predict(self, request):
        return request
