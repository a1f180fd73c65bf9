import Foundation
import Sampling
import Support
import TestSupport
import Testing
import Verification

/// A case of `Fixtures/golden/similarity.json`, written by `make_similarity.py`.
private struct Golden {
  let width: Int
  let height: Int
  let amount: Int
  let json: JSONObject

  static func all() throws -> [Golden] {
    let bytes = try ByteSlice.mapping(fixture("golden/similarity.json"))
    let cases = try #require(try JSONValue(parsing: bytes.bytes).object?["cases"]?.array)
    return try cases.map { value in
      let json = try #require(value.object)
      return Golden(
        width: try #require(json["width"]?.integer), height: try #require(json["height"]?.integer),
        amount: try #require(json["amount"]?.integer), json: json)
    }
  }

  /// The formulas of `make_similarity.py`.
  var images: (reference: Image, candidate: Image) {
    var reference: [UInt8] = []
    var candidate: [UInt8] = []
    for y in 0..<height {
      for x in 0..<width {
        for c in 0..<3 {
          let wave = sin(Double(x) / 5 + Double(c)) * cos(Double(y) / 7)
          let level = Int((128 + 90 * wave).rounded(.toNearestOrEven))
          let noise = (x * 7 + y * 13 + c * 5 + x * y) % 31 - 15
          let step = Int((Double(amount * noise) / 15).rounded(.down))
          reference.append(UInt8(level))
          candidate.append(UInt8(min(max(level + step, 0), 255)))
        }
      }
    }
    return (
      Image(width: width, height: height, pixels: reference),
      Image(width: width, height: height, pixels: candidate)
    )
  }
}

struct ImageComparisonTests {
  private func gray(_ level: UInt8, side: Int = 16) -> Image {
    Image(width: side, height: side, red: level, green: level, blue: level)
  }

  @Test func goldenValues() throws {
    for golden in try Golden.all() {
      let (reference, candidate) = golden.images
      let sums = [reference, candidate].map { $0.pixels.reduce(0) { $0 + Int($1) } }
      #expect(.array(sums.map { .integer($0) }) == golden.json["sums"])
      let found = ImageComparison(reference: reference, candidate: candidate)
      let ssim = try #require(golden.json["ssim"]?.number)
      // The order of summation differs, and so do the last bits.
      #expect(abs(try #require(found.ssim) - ssim) < 1e-12, "\(golden.width)x\(golden.height)")
      if let psnr = golden.json["psnr"]?.number {
        #expect(abs(found.psnr - psnr) < 1e-10)
      } else {
        #expect(found.psnr == .infinity)
        #expect(found.isIdentical)
      }
      #expect(found.largestDifference == golden.json["largest"]?.number)
      #expect(found.shareWithinOneLevel == golden.json["share"]?.number)
    }
  }

  /// 20 log10(255 / 16). Wrapping 8-bit differences would give 241 dB.
  @Test(arguments: [(UInt8(100), UInt8(116)), (116, 100), (0, 16), (255, 239)])
  func graysSixteenLevelsApart(_ a: UInt8, _ b: UInt8) {
    let found = ImageComparison(reference: gray(a), candidate: gray(b))
    #expect(abs(found.psnr - 24.0484) < 1e-4)
    #expect(found.largestDifference == 16)
    #expect(found.shareWithinOneLevel == 0)
  }

  /// Constant planes have only the luminance term: (2ab + C1) / (a² + b² + C1).
  @Test func similarityOfGrays() throws {
    let (a, b) = (100.0 / 255, 116.0 / 255)
    let found = ImageComparison(reference: gray(100), candidate: gray(116))
    let expected = (2 * a * b + 1e-4) / (a * a + b * b + 1e-4)
    #expect(abs(try #require(found.ssim) - expected) < 1e-9)
  }

  @Test func blackAgainstWhite() throws {
    let found = ImageComparison(reference: gray(0), candidate: gray(255))
    #expect(found.psnr == 0)
    #expect(found.largestDifference == 255)
    #expect(abs(try #require(found.ssim) - 1e-4 / (1 + 1e-4)) < 1e-12)
  }

  @Test func oneLevelIsWithinOneLevel() {
    var candidate = gray(10)
    candidate.pixels[0] = 11
    candidate.pixels[4] = 8
    let found = ImageComparison(reference: gray(10), candidate: candidate)
    #expect(found.shareWithinOneLevel == 255.0 / 256)
  }

  @Test func similarityNeedsAWindow() {
    let found = ImageComparison(reference: gray(1, side: 10), candidate: gray(1, side: 10))
    #expect(found.ssim == nil)
    #expect(found.psnr == .infinity)
  }

  @Test func differencesAreAmplifiedAndClamped() {
    var candidate = gray(100, side: 1)
    candidate.pixels = [103, 98, 200]
    #expect(candidate.difference(from: gray(100, side: 1)).pixels == [24, 16, 255])
  }
}
