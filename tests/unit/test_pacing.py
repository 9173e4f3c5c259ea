"""Pacing: who may pass in which event-loop iteration."""

import asyncio

from todo_api.middleware.pacing import MAX_PER_ITERATION, Pacing


def test_so_many_pass_in_an_iteration_and_the_others_in_the_next_ones_in_their_order() -> None:
    async def play() -> None:
        pacing, passed = Pacing(), list[int]()

        async def caller(number: int) -> None:
            await pacing.wait()
            passed.append(number)

        count = 3 * MAX_PER_ITERATION
        callers = [asyncio.create_task(caller(number)) for number in range(count)]
        await asyncio.sleep(0)
        assert passed == list(range(MAX_PER_ITERATION))

        callers[MAX_PER_ITERATION].cancel()
        await asyncio.wait(callers)
        assert passed == [number for number in range(count) if number != MAX_PER_ITERATION]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await pacing.wait()

    asyncio.run(play())
