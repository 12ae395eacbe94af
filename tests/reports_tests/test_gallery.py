import base64
import io

import numpy as np
import pytest
from PIL import Image

from reports.fronts import find_front
from reports.gallery import Pixels
from reports.page_gallery import gallery_view
from reports.png import image_address, mask_address
from tests.reports_tests.synthetic import make_gallery, make_study


def read(address: str) -> Image.Image:
    kind, _, data = address.partition(",")
    assert kind == "data:image/png;base64"
    return Image.open(io.BytesIO(base64.b64decode(data)))


@pytest.mark.parametrize("num_channels", [1, 3])
def test_images_come_back_as_they_were(num_channels: int) -> None:
    values = np.arange(4 * 5 * num_channels, dtype=np.uint8)
    pixels = Pixels(width=5, height=4, num_channels=num_channels, data=values.tobytes())
    image = read(image_address(pixels))
    assert image.size == (5, 4)
    assert np.asarray(image).flatten().tolist() == values.tolist()


def test_a_mask_is_one_colour_the_more_opaque_the_higher_it_is() -> None:
    mask = Pixels(width=3, height=1, num_channels=1, data=bytes([0, 100, 255]))
    image = np.asarray(read(mask_address(mask, (255, 92, 30))).convert("RGBA"))
    assert image[0, :, :3].tolist() == [[255, 92, 30]] * 3
    assert image[0, :, 3].tolist() == [0, 78, 199]


def test_pixels_must_be_as_many_as_the_size_says() -> None:
    with pytest.raises(
        ValueError, match="2 x 2 pixels must have 1 or 3 channels and as many bytes, but got 1 and 3"
    ):
        Pixels(width=2, height=2, num_channels=1, data=b"abc")


def test_parts_of_a_gallery_must_fit_together() -> None:
    gallery = make_gallery([0, 1])
    plain = gallery.model_dump() | {"labels": (0,)}
    with pytest.raises(ValueError, match="dense_classes of a gallery must have 1 entries, but got 2"):
        type(gallery).model_validate(plain)


def test_a_view_says_which_answers_changed_and_which_detectors_went() -> None:
    study = make_study(3).model_copy(update={"gallery": make_gallery([0, 1])})
    view = gallery_view(find_front(study))
    assert view is not None
    assert [column.similarity for column in view.columns] == ["100%", "50%"]
    assert [(row.label, row.dense_answer, row.is_right) for row in view.rows] == [
        ("ship", "ship", True),
        ("cat", "ship", False),
    ]
    assert [[cell.answer for cell in row.cells] for row in view.rows] == [["", ""], ["", "cat"]]
    assert [(row.label, row.dense, row.kept) for row in view.detectors] == [
        ("ship", 0, (0, 0)),
        ("cat", 1, (1, 0)),
        ("frog", 2, (2, 0)),
    ]
    assert view.lost == ((1, (("layer1.0.conv1", "cat"),)),)


def test_a_gallery_without_counted_detectors_says_so() -> None:
    gallery = make_gallery([0]).model_copy(update={"detectors_by_class": ()})
    view = gallery_view(find_front(make_study(3).model_copy(update={"gallery": gallery})))
    assert view is not None
    assert view.detectors == ()
    assert view.detector_note.startswith("Detectors of classes were not counted")
