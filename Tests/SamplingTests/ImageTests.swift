import Sampling
import Support
import Tensors
import TestSupport
import Testing

@Suite("Images")
struct ImageTests {
  static let small = Image(width: 3, height: 2, pixels: (0..<18).map { UInt8($0 * 13) })

  @Test("are rounded from the VAE's output as in diffusers")
  func rounding() {
    // (x / 2 + 0.5) * 255: 127.5 goes to the even 128, and values outside 0...255 are clamped.
    let levels: [Float] = [-1, 1, 0, -2, 2, .nan, 1 / 255, 0.5]
    let values = levels.flatMap { [$0, $0] } + levels + levels.reversed()
    let batch = Tensor(shape: [1, 3, 2, 4], values: Array(values.prefix(8)) + levels + levels)
    let image = Image.images(decoded: batch)[0]
    #expect(image.width == 4 && image.height == 2)
    let green = stride(from: 1, to: 24, by: 3).map { image.pixels[$0] }
    #expect(green == [0, 255, 128, 0, 255, 0, 128, 191])
  }

  @Test("survive a PNG round trip")
  func roundTrip() throws {
    let bytes = try Self.small.png()
    #expect(try Image(png: bytes, location: "test") == Self.small)
    #expect(bytes.prefix(4) == [0x89, 0x50, 0x4e, 0x47])
  }

  @Test("are read as PIL wrote them, with parameters")
  func fromPIL() throws {
    let bytes = try ByteSlice.mapping(fixture("golden/pipeline-picture.png")).array
    let image = try Image(png: bytes, location: "golden")
    #expect(image.width == 5 && image.height == 3)
    #expect(image.pixels == (0..<45).map { UInt8($0 * 5) })
    let texts = try PNGChunks.texts(bytes, location: "golden")
    #expect(texts.map(\.keyword) == ["parameters", "note"])
    #expect(texts[0].text.hasPrefix("a café\nNegative prompt: blurry\nSteps: 20"))
    #expect(texts[1].text == "日本語")
  }

  /// Texts are keys and values that are compared.
  @Test("skip texts that are slow to compare", .timeLimit(.minutes(5)))
  func hostileTexts() throws {
    let marks = "a" + String(repeating: "\u{300}\u{323}", count: 100_000)
    let bytes = try Self.small.png(text: [("a", marks), ("b", "日本語")])
    let texts = try PNGChunks.texts(bytes, location: "test")
    #expect(texts.map(\.keyword) == ["b"])
  }

  @Test("name chunks without control characters")
  func chunkNames() {
    let error = PNGError.damaged(location: "x", chunk: "\u{1b}[2J", offset: 8)
    #expect(error.description == #"x: PNG chunk '\u{1b}[2J' at byte 8 is truncated or damaged"#)
  }

  /// Files of make_families.py; PIL drops the lower half of sixteen bits, libpng rounds.
  @Test("are read from PNGs of all color types as PIL reads them")
  func kinds() throws {
    let kinds = try golden("pictures.json").array("read").compactMap(\.object)
    #expect(kinds.count == 8)
    for kind in kinds {
      let name = try kind.string("name")
      let image = try Image(png: bytes(hex: try kind.string("png")), location: name)
      let expected = bytes(hex: try kind.string("pixels"))
      #expect(image.width == 9 && image.height == 7)
      let far = zip(image.pixels, expected).map { abs(Int($0) - Int($1)) }.max()
      #expect(image.pixels.count == expected.count)
      #expect(far ?? 9 <= (name == "sixteen bits" ? 1 : 0), "\(name)")
    }
  }

  @Test("are resized as PIL resizes them")
  func resizing() throws {
    let sizes = try golden("pictures.json").array("resized").compactMap(\.object)
    #expect(sizes.count == 4)
    for entry in sizes {
      let size = try entry.array("size").compactMap(\.integer)
      let image = FamilyTests.image(24, 20).resized(
        to: ImageSize(width: size[0], height: size[1]))
      #expect(image.pixels == bytes(hex: try entry.string("pixels")), "\(size)")
    }
  }

  private func bytes(hex: String) -> [UInt8] {
    let digits = hex.compactMap(\.hexDigitValue)
    return stride(from: 0, to: digits.count - 1, by: 2).map {
      UInt8(digits[$0] << 4 | digits[$0 + 1])
    }
  }

  @Test("store texts of any script", arguments: ["plain", "café ½\nsecond line", "日本語 😀", ""])
  func texts(text: String) throws {
    let bytes = try Self.small.png(text: [("parameters", text), ("other", "x")])
    let found = try PNGChunks.texts(bytes, location: "test")
    #expect(found.map(\.keyword) == ["parameters", "other"])
    #expect(found.map(\.text) == [text, "x"])
    #expect(try Image(png: bytes, location: "test") == Self.small)
    let isLatin1 = text.unicodeScalars.allSatisfy { $0.value < 256 }
    #expect(bytes[37..<41].elementsEqual((isLatin1 ? "tEXt" : "iTXt").utf8))
  }

  @Test("of incompressible pixels are just below the bound")
  func largestFile() throws {
    var state: UInt64 = 1
    let pixels = (0..<200 * 100 * 3).map { _ -> UInt8 in
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return UInt8(truncatingIfNeeded: state >> 56)
    }
    let bytes = try Image(width: 200, height: 100, pixels: pixels).png().count
    let bound = Image.mostBytes(ofPNG: ImageSize(width: 200, height: 100))
    #expect(bytes <= bound && bound < bytes * 11 / 10, "\(bytes) and \(bound)")
  }

  @Test("are written completely or not at all")
  func files() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/picture.png"
      try Self.small.write(to: path, replacing: false)
      #expect(throws: FileError(.exists, path)) {
        try Self.small.write(to: path, replacing: false)
      }
      let bytes = try ByteSlice.mapping(path).array
      #expect(try Image(png: bytes, location: path) == Self.small)
    }
  }

  /// A row of text above each row of images, and wrapped lines below.
  @Test("are arranged on a labelled sheet")
  func labelledSheet() {
    let red = Image(width: 40, height: 20, red: 255, green: 0, blue: 0)
    let blue = Image(width: 30, height: 24, red: 0, green: 0, blue: 255)
    let notes = ["1: a cat", String(repeating: "word ", count: 30)]
    let rows = [
      LabelledSheet.Row(label: "first \u{e9}", images: [red, blue]),
      LabelledSheet.Row(label: String(repeating: "x", count: 500), images: [red]),
    ]
    let sheet = LabelledSheet(rows, notes: notes).image
    let size = LabelledSheet.size(
      rows: [
        [ImageSize(width: 40, height: 20), ImageSize(width: 30, height: 24)],
        [ImageSize(width: 40, height: 20)],
      ], notes: notes)
    #expect(sheet.width == size.width && sheet.height == size.height)
    // Labels of 16 pixels, tiles of 24 with margins of 4, and 1 + 3 lines of 63 characters.
    #expect(size.width == 512 && size.height == 2 * (16 + 24 + 8) + 4 * 16 + 8)
    func pixel(_ x: Int, _ y: Int) -> [UInt8] {
      Array(sheet.pixels[(y * sheet.width + x) * 3..<(y * sheet.width + x) * 3 + 3])
    }
    #expect(pixel(4, 20) == [255, 0, 0] && pixel(43, 39) == [255, 0, 0])
    #expect(pixel(48, 20) == [0, 0, 255] && pixel(77, 43) == [0, 0, 255])
    #expect(pixel(78, 20) == [255, 255, 255] && pixel(4, 68) == [255, 0, 0])
    func isInked(_ x: Range<Int>, _ y: Range<Int>) -> Bool {
      x.contains { x in y.contains { y in pixel(x, y)[0] < 128 } }
    }
    // The seven characters of the first label, and nothing after them.
    #expect((0..<7).filter { isInked(4 + 8 * $0..<12 + 8 * $0, 4..<20) } == [0, 1, 2, 3, 4, 6])
    #expect(!isInked(60..<512, 4..<20))
    // A label that is too long ends in dots.
    #expect(!isInked(500..<508, 52..<60) && isInked(484..<508, 60..<68))
  }

  @Test("have glyphs for Latin letters, and a question mark for others")
  func glyphs() {
    func drawn(_ text: String) -> [UInt8] {
      LabelledSheet([.init(label: text, images: [Self.small])], notes: []).image.pixels
    }
    #expect(drawn("a") != drawn("b") && drawn("\u{e4}") != drawn("a"))
    #expect(drawn("\u{732b}") == drawn("?") && drawn("\u{e9}") != drawn("?"))
  }

  // MARK: - Refusals

  @Test("are refused when the bytes are no PNG")
  func notPNG() {
    #expect(throws: PNGError.notPNG(location: "x")) {
      try Image(png: [0xff, 0xd8, 0xff], location: "x")
    }
    #expect(throws: PNGError.notPNG(location: "x")) { try Image(png: [], location: "x") }
    #expect(
      PNGError.notPNG(location: "x").description
        == "x is not a PNG file: it does not begin with the PNG signature")
  }

  @Test("are refused when a byte is cut off or flipped, wherever it is")
  func damage() throws {
    let bytes = try Self.small.png(text: [("parameters", "text")])
    for count in 8..<bytes.count {
      #expect(throws: PNGError.self) {
        try Image(png: Array(bytes.prefix(count)), location: "x")
      }
    }
    for index in 8..<bytes.count {
      var flipped = bytes
      flipped[index] ^= 0x10
      #expect(throws: PNGError.self, "byte \(index)") { try Image(png: flipped, location: "x") }
    }
    #expect(throws: PNGError.damaged(location: "x", chunk: "IHDR", offset: 8)) {
      try Image(png: Array(bytes.prefix(20)), location: "x")
    }
  }

  @Test("are refused above the pixel limit before memory is allocated")
  func tooLarge() throws {
    let bytes = try ByteSlice.mapping(fixture("golden/pipeline-large.png")).array
    #expect(throws: PNGError.tooLarge(location: "x", width: 60_000, height: 60_000)) {
      try Image(png: bytes, location: "x")
    }
    #expect(
      PNGError.tooLarge(location: "x", width: 60_000, height: 60_000).description
        == "x: the image has 60000x60000 pixels; expected at most 67108864")
  }
}

@Suite("Generation parameters")
struct GenerationParametersTests {
  static let plain = GenerationParameters(
    prompt: "a cat, sitting in the sun", negativePrompt: "blurry, \"ugly\"", steps: 25,
    sampler: "DPM++ 2M Karras", guidanceScale: 7.5, seed: 1 << 63, width: 512, height: 768,
    model: "sd-v1-4")

  @Test("are written as A1111 writes them")
  func text() {
    #expect(
      Self.plain.text == """
        a cat, sitting in the sun
        Negative prompt: blurry, "ugly"
        Steps: 25, Sampler: DPM++ 2M Karras, CFG scale: 7.5, Seed: 9223372036854775808, \
        Size: 512x768, Model: sd-v1-4, Version: Decant
        """)
  }

  @Test("survive a round trip")
  func roundTrip() {
    var parameters = Self.plain
    #expect(GenerationParameters(text: parameters.text) == parameters)
    parameters.negativePrompt = ""
    parameters.guidanceScale = 1
    parameters.model = "a, \"strange\": name"
    #expect(GenerationParameters(text: parameters.text) == parameters)
    parameters.prompt = ""
    parameters.batch = .init(size: 4, position: 3)
    #expect(parameters.text.hasSuffix("Batch size: 4, Batch pos: 3, Version: Decant"))
    #expect(GenerationParameters(text: parameters.text) == parameters)
    parameters.batch = nil
    parameters.denoisingStrength = 0.75
    parameters.isMasked = true
    #expect(
      parameters.text.hasSuffix("Denoising strength: 0.75, Mask blur: 0, Version: Decant"))
    #expect(GenerationParameters(text: parameters.text) == parameters)
  }

  @Test("name merged adapters beside the model, not in the prompt")
  func adapters() {
    var parameters = Self.plain
    parameters.adapters = [.init(name: "style", scale: 0.8)]
    #expect(parameters.text.hasSuffix("Model: sd-v1-4, LoRA: style 0.8, Version: Decant"))
    #expect(!parameters.text.contains("<lora:"))
    #expect(GenerationParameters(text: parameters.text) == parameters)
    parameters.adapters += [.init(name: "a, b: c", scale: -1), .init(name: "d e", scale: 1)]
    #expect(
      parameters.text.hasSuffix(#"LoRA: "style 0.8, a, b: c -1, d e 1", Version: Decant"#))
    #expect(GenerationParameters(text: parameters.text) == parameters)
  }

  /// Readers take a line for the negative prompt or the settings wherever it is.
  @Test("have prompts on one line", arguments: ["\n", "\r\n", "\r", "\u{2028}", "\u{85}"])
  func forgedLines(lineBreak: String) throws {
    var parameters = Self.plain
    parameters.prompt =
      "a" + lineBreak + "Negative prompt: b" + lineBreak + "Steps: 1, Seed: 2, Size: 3x4"
    parameters.negativePrompt = "c" + lineBreak + lineBreak + "Steps: 1, Seed: 2, Size: 3x4"
    #expect(
      parameters.text.hasPrefix(
        "a Negative prompt: b Steps: 1, Seed: 2, Size: 3x4\nNegative prompt: c  Steps: 1, Seed: 2, "
          + "Size: 3x4\nSteps: 25, "))
    let read = try #require(GenerationParameters(text: parameters.text))
    #expect(read.steps == 25 && read.seed == 1 << 63 && read.width == 512)
    #expect(read.negativePrompt == "c  Steps: 1, Seed: 2, Size: 3x4")
  }

  /// A terminal would carry out the escape sequences of a prompt when a program prints it.
  @Test("hold no control characters but tabs")
  func controlCharacters() {
    var parameters = Self.plain
    parameters.prompt = "a\u{1b}[31m\tcat\u{0}\u{7f}\u{9b}, 猫 \u{202b}قط\u{202c}"
    parameters.negativePrompt = "\u{8}b"
    parameters.model = "\u{1b}m"
    parameters.adapters = [.init(name: "\u{7}style", scale: 1)]
    #expect(
      parameters.text.hasPrefix(
        "a[31m\tcat, 猫 \u{202b}قط\u{202c}\nNegative prompt: b\nSteps: 25, "))
    #expect(parameters.text.hasSuffix("Model: m, LoRA: style 1, Version: Decant"))
  }

  @Test("of another program are read as far as known")
  func foreign() throws {
    let text = """
      masterpiece
      Negative prompt: bad
      worse
      Steps: 20, Sampler: Euler a, Schedule type: Automatic, CFG scale: 7, Seed: 3, Size: 640x448, \
      Model hash: abc, Model: v1-5-pruned, Lora hashes: "a: b, c: d", Version: v1.9.4
      """
    let read = try #require(GenerationParameters(text: text))
    #expect(read.prompt == "masterpiece" && read.negativePrompt == "bad\nworse")
    #expect(read.sampler == "Euler a" && read.guidanceScale == 7 && read.version == "v1.9.4")
    #expect(read.width == 640 && read.height == 448 && read.model == "v1-5-pruned")
  }

  @Test(
    "are nil for other texts", arguments: ["", "a cat", "Steps: x, Size: 1x1"])
  func refusals(text: String) {
    #expect(GenerationParameters(text: text) == nil)
  }
}
