"""Which examples resemble a query the most."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from napari_iclsam.core.encoder.embedding import Embedding
from napari_iclsam.core.encoder.examples import Examples


def nearest_examples(examples: Examples, query: Embedding, count: int) -> Examples:
    """Return the examples whose embeddings are most similar to the query's, in the set's order.

    Similarity is the cosine of their means over the image, less the mean of the support.
    """
    embeddings = (query, *examples.of_expert(0))
    of_each = [embedding.cells.mean(dim=(-2, -1)) for embedding in embeddings]
    means = torch.stack(of_each)
    # what all images share says nothing of which are alike
    directions = F.normalize(means - means[1:].mean(dim=0), dim=1)
    similarities = directions[1:] @ directions[0]
    # in the order of the set, so that equal choices give equal sums
    return examples.subset(sorted(torch.topk(similarities, count).indices.tolist()))
