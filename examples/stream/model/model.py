import asyncio


class Model:
    """Gives the words of the prompt back one by one, with a pause in seconds (at most 5) between them."""

    async def predict(self, request):
        words = str(request.get("prompt", "")).split()
        pause = min(max(float(request.get("pause", 0.05)), 0.0), 5.0)

        async def tokens():
            for index, word in enumerate(words):
                if index:
                    await asyncio.sleep(pause)
                yield word + " "

        return tokens()
