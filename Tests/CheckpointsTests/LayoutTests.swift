import Checkpoints
import Foundation
import ModelSources
import Support
import TestSupport
import Testing

struct LayoutTests {
  /// What is said of a file of these bytes.
  private func refusal(_ bytes: [UInt8]) throws -> String {
    try withTemporaryFolder { folder in
      try write(bytes, to: folder + "/f")
      return message { _ = try Readers.all.read(folder + "/f") }
        .replacingOccurrences(of: folder + "/", with: "")
    }
  }

  static let readable =
    "expected a diffusers folder, safetensors file, PyTorch file or GGUF file"

  @Test(
    arguments: [
      ([], "an empty file"),
      ([1, 2, 3], "a file of 3 bytes that begins with 01 02 03"),
      (Array("hello, world".utf8), "a text file"), (Array(" <!DOCTYPE html>".utf8), "an HTML page"),
      ([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a], "a PNG image"),
      ([0xff, 0xd8, 0xff, 0xe0], "a JPEG image"),
      (Array("RIFF....WEBPVP8 ".utf8), "a WebP image"),
    ] as [([UInt8], String)])
  func filesAreDescribed(bytes: [UInt8], found: String) throws {
    #expect(try refusal(bytes) == "f: \(found), \(Self.readable)")
  }

  @Test func foldersAreDescribed() throws {
    try withTemporaryFolder { folder in
      for name in (10..<25).map({ "file\($0)" }) { try write("x", to: folder + "/f/" + name) }
      #expect(
        message { _ = try Readers.all.read(folder + "/f") }.hasSuffix(
          "/f: a folder that holds file10, file11, file12, file13, file14, file15, file16, file17, file18, file19, file20, file21 and 3 more, \(Self.readable)"
        ))
    }
  }

  /// What looks like a file of tensors is read as one, and refused as one.
  @Test(arguments: [
    (Array("PK\u{3}\u{4}....".utf8), "no directory at the end of the ZIP archive"),
    ([0x80, 0x02, 0x8a], "a Python pickle without PyTorch's magic number"),
  ])
  func filesOfTensorsAreTaken(bytes: [UInt8], found: String) throws {
    #expect(try refusal(bytes).hasPrefix("f: " + found))
  }

  @Test func nothingIsNothing() {
    #expect(
      message { _ = try Readers.all.read("/absent/model") }
        == "/absent/model: there is no such file or folder")
  }

  @Test func aFolderIsKnownByWhatItHolds() throws {
    try withTemporaryFolder { folder in
      let tiny = try TinyFolder(in: folder)
      #expect(try Readers.all.reader(for: tiny.path).layout == "diffusers folder")
      // A name says nothing: a folder may be called as a file is.
      try FileManager.default.moveItem(atPath: tiny.path, toPath: folder + "/m.safetensors")
      #expect(
        try Readers.all.reader(for: folder + "/m.safetensors").layout == "diffusers folder")
    }
  }

  @Test(
    arguments: [
      ("out/", "diffusers"), ("out", "diffusers"), ("a.b/out", "diffusers"),
      ("out.d/", "diffusers"),
      ("out.gguf", "gguf"), ("out.safetensors", "checkpoint"), ("out.ckpt", nil),
    ] as [(String, String?)])
  func writersAreFoundByName(path: String, name: String?) {
    #expect((try? Writers.all.writer(for: path))?.name == name)
  }

  @Test(arguments: Writers.all.map(\.name))
  func writersAreFoundByTheNamesThatTheyMake(name: String) throws {
    let writer = try Writers.all.writer(for: "", named: name)
    for stem in ["a", "model-v1.5", "A b"] {
      let path = writer.outputName(stem: stem)
      #expect(path.hasPrefix(stem))
      #expect(try Writers.all.writer(for: path, named: nil).name == name)
    }
  }

  @Test func writersMayBeNamed() throws {
    #expect(try Writers.all.writer(for: "out.gguf", named: "diffusers").name == "diffusers")
    #expect(try Writers.all.writer(for: "out", named: "GGUF").name == "gguf")
    #expect(
      message { _ = try Writers.all.writer(for: "out", named: "guf") }
        .hasPrefix("unknown output format 'guf' (did you mean 'gguf'?); expected "))
    #expect(
      message { _ = try Writers.all.writer(for: "out", named: "zip") }
        == "unknown output format 'zip'; expected " + alternatives(Writers.all.map(\.name)))
    let error = #expect(throws: LayoutError.self) { _ = try Writers.all.writer(for: "out.x") }
    #expect(error?.description == "out.x: the name does not determine the output format")
    #expect(error?.remedy == .choose(.outputFormat, Writers.all.map(\.name)))
  }
}
