"""Draws the glyphs of Sources/Sampling/Images/LabelGlyphs.swift, from DejaVu Sans Mono.

    python Fixtures/font/make.py DejaVuSansMono.ttf

Each glyph is 8 pixels wide and 16 high, with a coverage of 0 to 15 a pixel: two pixels a byte, the left
one in the low bits, rows from the top. Needs Pillow.
"""

import base64
import pathlib
import sys

from PIL import Image, ImageDraw, ImageFont

WIDTH, HEIGHT, SIZE = 8, 16, 13
OUTPUT = pathlib.Path(__file__).parents[2] / "Sources/Sampling/Images/LabelGlyphs.swift"


def glyph(font, character):
    image = Image.new("L", (WIDTH, HEIGHT))
    ImageDraw.Draw(image).text((0, 12), character, 255, font, anchor="ls")
    levels = [round(level / 17) for level in image.tobytes()]
    return bytes(low | high << 4 for low, high in zip(levels[::2], levels[1::2]))


def main():
    font = ImageFont.truetype(sys.argv[1], SIZE)
    codes = [*range(0x20, 0x7F), *range(0xA0, 0x100)]
    data = base64.b64encode(b"".join(glyph(font, chr(code)) for code in codes)).decode()
    lines = "\n".join("    " + data[start:start + 90] for start in range(0, len(data), 90))
    OUTPUT.write_text(f'''/// The glyphs of labels, which `Fixtures/font/make.py` draws from DejaVu Sans Mono {SIZE}.
///
/// Fonts are (c) Bitstream and (c) DejaVu changes in public domain; see https://dejavu-fonts.github.io/License.html.
enum LabelGlyphs {{
  static let width = {WIDTH}
  static let height = {HEIGHT}
  /// The characters U+0020 to U+007E and U+00A0 to U+00FF.
  static let codes = Array(0x20...0x7E) + Array(0xA0...0xFF)

  /// The coverage of each pixel, 0 to 15: two pixels a byte, the left one in the low bits, rows from the
  /// top, glyph after glyph; in base64.
  static let coverage = """
{lines}
    """
}}
''')


main()
