"""A stage that is interrupted at a known place."""

import signal


def interrupted(stage, at, number=signal.SIGINT):
    """`stage`, pressing Ctrl-C while it draws its batch number `at`."""

    class Interrupted(type(stage)):
        drawn = 0

        def batch(self, draw):
            self.drawn += 1
            if self.drawn == at:
                signal.raise_signal(number)
            return super().batch(draw)

    stage.__class__ = Interrupted
    return stage
