"""Parameter counts by block."""

from sus2bench.benchmark.parameters import count, species_pairs


def test_tensors_are_counted_by_block_with_atomic_energies(potential):
    counts = count(potential, {(13, 13), (13, 29), (29, 13)})
    assert counts["blocks"]["strength"] == {"stored": 3, "trainable": 3, "effective": 3}
    assert counts["blocks"]["frozen"] == {"stored": 3, "trainable": 0, "effective": 0}
    # Gold never occurs, so its energy is never determined.
    assert counts["blocks"]["atomic_energies"] == {"stored": 3, "trainable": 3, "effective": 2}
    assert (counts["stored"], counts["trainable"], counts["effective"]) == (9, 6, 5)


def test_effective_count_is_unknown_without_training_data(potential):
    counts = count(potential)
    assert (counts["stored"], counts["trainable"], counts["effective"]) == (9, 6, None)


def test_model_that_knows_its_blocks_is_asked(potential, monkeypatch):
    def blocks(self, pairs):
        return {"pairs": {"stored": 10, "trainable": 9, "effective": len(pairs)}}

    monkeypatch.setattr(type(potential.model), "parameter_blocks", blocks, raising=False)
    counts = count(potential, {(13, 13)})
    assert counts["blocks"]["pairs"]["effective"] == 1
    assert counts["stored"] == 13


def test_pairs_are_those_within_the_cutoff(frames):
    assert species_pairs([frames[0], frames[4]]) == {(13, 13), (13, 29), (29, 13), (29, 29)}
    assert species_pairs([]) == set()
