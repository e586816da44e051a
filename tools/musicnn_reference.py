"""Runs the musicnn wheel's own TensorFlow graph and keeps what it answers, as the network's test.

    pip download --no-deps musicnn==0.1.0 && unzip musicnn-0.1.0-py3-none-any.whl -d wheel
    python -m tools.musicnn_reference wheel/musicnn/MSD_musicnn reference.safetensors

Needs tensorflow-cpu (2.21 made the stored file), in an environment of its own. The graph is the one
stored beside the weights (`.meta`), not a rebuilt one: what is compared is what was trained.
"""

import os
import sys
from pathlib import Path

import numpy as np

FRAMES, MELS = 187, 96
OUTPUTS = {
    "penultimate": "model/batch_normalization_10/batchnorm/add_1:0",
    "tags": "model/Sigmoid:0",
}


def reference_patches() -> np.ndarray:
    """Four patches (4, frames, mels) of log-mel values from a formula, so that they need no file.

    Silence; a few steady partials; beats with wandering bands; and everything loud.
    """
    frame, mel = np.arange(FRAMES)[:, None], np.arange(MELS)[None, :]
    partials = 3.0 * np.exp(-0.5 * ((mel % 17) / 1.5) ** 2) * np.exp(-frame / 300.0)
    beats = np.exp(-(frame % 31) / 6.0) * (1.5 + 1.5 * np.sin(0.21 * mel + 0.05 * frame))
    loud = 4.0 + np.sin(0.37 * frame) * np.cos(0.11 * mel)
    return np.stack([0.0 * loud, partials, beats, loud]).astype(np.float32)


def run_stored_graph(folder: Path, patches: np.ndarray) -> dict[str, np.ndarray]:
    """The outputs of the graph in `folder` with the weights beside it, by name."""
    # TensorFlow's plain kernels are nearer to float64 than its faster ones.
    os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"
    import tensorflow as tf

    tf1 = tf.compat.v1
    tf1.disable_eager_execution()
    meta = tf1.MetaGraphDef()
    meta.ParseFromString((folder / ".meta").read_bytes())
    # The training part of the old graph is refused by today's TensorFlow: take what is needed.
    wanted = ["save/restore_all", *(name.split(":")[0] for name in OUTPUTS.values())]
    tf1.import_graph_def(tf1.graph_util.extract_sub_graph(meta.graph_def, wanted), name="")
    graph = tf1.get_default_graph()
    inputs = [op.outputs[0] for op in graph.get_operations() if op.type == "Placeholder"]
    feed = {
        t: False if t.dtype == tf.bool else patches for t in inputs if t.name.startswith("model")
    }
    with tf1.Session() as session:
        session.run("save/restore_all", {"save/Const:0": f"{folder}/"})
        return session.run(OUTPUTS, feed)


def main() -> None:
    """Write the reference outputs that the tests compare with."""
    from safetensors.numpy import save_file

    folder, target = Path(sys.argv[1]), Path(sys.argv[2])
    outputs = run_stored_graph(folder, reference_patches())
    save_file({name: np.ascontiguousarray(values) for name, values in outputs.items()}, target)


if __name__ == "__main__":
    main()
