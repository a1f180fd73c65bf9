import Checkpoints
import Foundation
import ModelSources
import Support
import Tensors
import TestSupport
import Testing

/// Files that were not downloaded, or not to their end: each message names the file and what it is.
struct DownloadTests {
  private static let weights = TinyFolder.stem + ".safetensors"

  private struct Refusal: Equatable {
    let text: String
    let remedy: Remedy?
  }

  /// The error of reading `path`, without the folder's path.
  private func refusal(_ path: String, in folder: String) -> Refusal? {
    do {
      _ = try Readers.all.read(path)
      return nil
    } catch {
      return Refusal(
        text: "\(error)".replacing(folder + "/", with: ""),
        remedy: (error as? any RemediableError)?.remedy)
    }
  }

  private func link(_ path: String, to target: String) throws {
    try FileManager.default.createSymbolicLink(atPath: path, withDestinationPath: target)
  }

  /// What a server or a program left in place of weights, and what it is called.
  static let pages: [(bytes: [UInt8], found: String)] = [
    (Array("<!DOCTYPE html>\n<html>".utf8), "an HTML page"), (Array("<html>".utf8), "an HTML page"),
    (Array("<?xml version=\"1.0\"?><Error>".utf8), "an XML text"), ([], "an empty file"),
    (
      Array(#"{"error":"Repository not found"}"#.utf8),
      #"a JSON text that begins with {"error":"Repository not found"}"#
    ),
    (
      [0xef, 0xbb, 0xbf] + Array(#"{"a":1}"#.utf8), #"a JSON text that begins with {"a":1}"#
    ),
  ]

  @Test(arguments: pages.indices) func pagesInPlaceOfWeights(index: Int) throws {
    let (bytes, found) = Self.pages[index]
    try withTemporaryFolder { folder in
      for (file, kind) in [
        (Self.weights, "safetensors file"), ("text_encoder/pytorch_model.bin", "PyTorch file"),
      ] {
        let tiny = try TinyFolder(in: folder)
        if file.hasPrefix("text_encoder") { try tiny.remove("text_encoder/model.safetensors") }
        try write(bytes, to: tiny.path + "/" + file)
        #expect(
          refusal(tiny.path, in: folder)
            == Refusal(text: "model/\(file): \(found), expected a \(kind)", remedy: .downloadAgain))
        try FileManager.default.removeItem(atPath: tiny.path)
      }
      for name in ["m.safetensors", "m.ckpt", "m.gguf"] {
        try write(bytes, to: folder + "/" + name)
        #expect(
          refusal(folder + "/" + name, in: folder)
            == Refusal(text: "\(name): \(found), \(LayoutTests.readable)", remedy: .downloadAgain))
      }
    }
  }

  /// A text file of the user's is no failed download.
  @Test func otherFilesHaveNoRemedy() throws {
    try withTemporaryFolder { folder in
      try write("<html>", to: folder + "/report.html")
      #expect(
        refusal(folder + "/report.html", in: folder)
          == Refusal(text: "report.html: an HTML page, \(LayoutTests.readable)", remedy: nil))
    }
  }

  @Test(arguments: [".incomplete", ".part", ".crdownload", ".aria2", ".download"])
  func leftoversOfDownloads(ending: String) throws {
    try withTemporaryFolder { folder in
      let tiny = try TinyFolder(in: folder)
      try FileManager.default.moveItem(
        atPath: tiny.path + "/" + Self.weights, toPath: tiny.path + "/" + Self.weights + ending)
      let name = "diffusion_pytorch_model.safetensors" + ending
      let sentence = ": the download is not finished, as the file '"
      #expect(
        refusal(tiny.path, in: folder)
          == Refusal(
            text: "model/" + Self.weights + sentence + name + "' shows", remedy: .downloadAgain))
      try write("x", to: folder + "/m.safetensors" + ending)
      let alone = Refusal(
        text: "m.safetensors" + sentence + "m.safetensors\(ending)' shows", remedy: .downloadAgain)
      #expect(refusal(folder + "/m.safetensors", in: folder) == alone)
      // Firefox creates an empty file of the whole name.
      try write("", to: folder + "/m.safetensors")
      #expect(refusal(folder + "/m.safetensors", in: folder) == alone)
    }
  }

  /// aria2 gives a file its whole size at once, and fills it with zeros until it is complete.
  @Test func filesOfWholeSizeBesideAControlFile() throws {
    try withTemporaryFolder { folder in
      let tiny = try TinyFolder(in: folder)
      #expect(refusal(tiny.path, in: folder) == nil)
      try tiny.write("", Self.weights + ".aria2")
      let expected = Refusal(
        text: "model/\(Self.weights): the download is not finished, as the file "
          + "'diffusion_pytorch_model.safetensors.aria2' shows", remedy: .downloadAgain)
      #expect(refusal(tiny.path, in: folder) == expected)
      #expect(refusal(tiny.path + "/" + Self.weights, in: folder) == expected)
      // A browser's leftover beside a whole file is of an earlier download.
      try tiny.remove(Self.weights + ".aria2")
      try tiny.write("", Self.weights + ".crdownload")
      #expect(refusal(tiny.path, in: folder) == nil)
    }
  }

  @Test(arguments: [
    Self.weights, "unet/config.json", "model_index.json", "scheduler/scheduler_config.json",
    "tokenizer/merges.txt",
  ])
  func linksThatLeadNowhere(file: String) throws {
    try withTemporaryFolder { folder in
      let tiny = try TinyFolder(in: folder)
      try tiny.remove(file)
      try link(tiny.path + "/" + file, to: "../../blobs/abc")
      #expect(
        refusal(tiny.path, in: folder)
          == Refusal(
            text: "model/\(file): a symbolic link to '../../blobs/abc', which does not exist",
            remedy: .downloadAgain))
      try link(folder + "/m.safetensors", to: "nowhere")
      #expect(
        refusal(folder + "/m.safetensors", in: folder)
          == Refusal(
            text: "m.safetensors: a symbolic link to 'nowhere', which does not exist",
            remedy: .downloadAgain))
    }
  }

  @Test(arguments: [
    ("vae/config.json", "JSON"), ("model_index.json", "JSON"), ("tokenizer/merges.txt", "text"),
    (Self.weights, "weights"),
  ])
  func pointersInPlaceOfFiles(file: String, expected: String) throws {
    try withTemporaryFolder { folder in
      let tiny = try TinyFolder(in: folder)
      try tiny.write("version https://git-lfs.github.com/spec/v1\n", file)
      #expect(
        refusal(tiny.path, in: folder)
          == Refusal(
            text: "model/\(file): the file is a Git LFS pointer, not \(expected)",
            remedy: .pullFromGitLFS))
    }
  }

  /// What takes the place of a JSON text is named. A damaged JSON text keeps the place of its fault.
  @Test(arguments: [
    "model_index.json", "unet/config.json", "scheduler/scheduler_config.json", "decant.json",
    "unet/diffusion_pytorch_model.safetensors.index.json",
  ])
  func otherFilesInPlaceOfJSON(file: String) throws {
    try withTemporaryFolder { folder in
      let tiny = try TinyFolder(in: folder)
      if file.hasSuffix("index.json"), file != "model_index.json" { try tiny.remove(Self.weights) }
      let utf16: [UInt8] = [0x7b, 0, 0x7d, 0]
      let wide = Refusal(
        text: "model/\(file): the file is a text in UTF-16, not JSON in UTF-8",
        remedy: .act("save it in UTF-8"))
      func other(_ found: String) -> Refusal {
        Refusal(text: "model/\(file): the file is \(found), not JSON", remedy: .downloadAgain)
      }
      for (bytes, expected) in [
        (Array("<!DOCTYPE html>\n<html>".utf8), other("an HTML page")),
        (Array("<?xml version=\"1.0\"?>".utf8), other("an XML text")),
        ([0x89, 0x50, 0x4e, 0x47], other("a PNG image")), ([], other("an empty file")),
        (utf16, wide), ([0xff, 0xfe] + utf16, wide),
        ([0xfe, 0xff, 0, 0x7b, 0, 0x7d], wide),
      ] as [([UInt8], Refusal)] {
        try write(bytes, to: tiny.path + "/" + file)
        #expect(refusal(tiny.path, in: folder) == expected)
      }
      for text in ["{", "no page"] {
        try tiny.write(text, file)
        let found = refusal(tiny.path, in: folder)
        #expect(found?.text.hasPrefix("model/\(file): invalid JSON: ") == true)
        #expect(found?.remedy == .downloadAgain)
      }
    }
  }

  @Test func configsMayBeginWithAByteOrderMark() throws {
    try withTemporaryFolder { folder in
      let tiny = try TinyFolder(in: folder)
      for file in ["model_index.json", "unet/config.json", "scheduler/scheduler_config.json"] {
        let path = tiny.path + "/" + file
        try write([0xef, 0xbb, 0xbf] + bytes(path), to: path)
      }
      let model = try tiny.read()
      #expect(model.scheduler?["steps_offset"] == 1)
      #expect(model["unet"]?.config["_class_name"] == "UNet2DConditionModel")
    }
  }

  /// A pickle under the name of a safetensors file, and the reverse.
  @Test func contentsDecideTheFormat() throws {
    try withTemporaryFolder { folder in
      let tiny = try TinyFolder(in: folder)
      let path = tiny.path + "/" + Self.weights
      let pickle = tiny.path + "/" + TinyFolder.stem + ".bin"
      try FileManager.default.moveItem(atPath: path, toPath: pickle)
      #expect(try tiny.read()["unet"]?.weights.names.count == 3)
      try FileManager.default.removeItem(atPath: pickle)
      try write(torchFile(TinyFolder.unet), to: path)
      let weights = try #require(try tiny.read()["unet"]).weights
      for (name, tensor) in TinyFolder.unet {
        #expect(try weights.tensor(name).floats() == tensor.floats())
      }
    }
  }

  // MARK: - Cached repositories

  /// Moves a model into the cache's layout and returns the repository's folder.
  private func cached(_ folder: String, commits: [String], main: String?) throws -> String {
    let root = folder + "/models--a--b"
    for commit in commits {
      let tiny = try TinyFolder(in: folder)
      try FileManager.default.createDirectory(
        atPath: root + "/snapshots", withIntermediateDirectories: true)
      try FileManager.default.moveItem(atPath: tiny.path, toPath: "\(root)/snapshots/\(commit)")
    }
    try write("", to: root + "/blobs/abc")
    if let main { try write(main, to: root + "/refs/main") }
    return root
  }

  @Test(
    arguments: [
      (["0a1"], "0a1"), (["0a1"], "0a1\n"), (["0a1", "0b2"], "0b2"), (["0a1"], nil),
    ] as [([String], String?)])
  func cachedRepositoriesAreRead(commits: [String], main: String?) throws {
    try withTemporaryFolder { folder in
      let root = try cached(folder, commits: commits, main: main)
      let commit = main?.trimmingCharacters(in: .whitespacesAndNewlines) ?? commits[0]
      let model = try Readers.all.read(root + "/")
      #expect(model.location == "\(root)/snapshots/\(commit)")
      #expect(model.components.count == 3)
    }
  }

  @Test func cachedRepositoriesWithoutTheCommitAreRefused() throws {
    try withTemporaryFolder { folder in
      let root = try cached(folder, commits: ["0a1", "0b2"], main: nil)
      #expect(
        refusal(root, in: folder)
          == Refusal(
            text: "models--a--b: the cached repository has no refs/main and several snapshots: "
              + "0a1 and 0b2",
            remedy: .act("name one of them, such as \(root)/snapshots/0a1")))
      for name in ["0c3", "../..", "", "."] {
        try write(name, to: root + "/refs/main")
        #expect(
          refusal(root, in: folder)
            == Refusal(
              text:
                "models--a--b/refs/main: leads to the snapshot '\(name)', which does not exist; "
                + "found 0a1 and 0b2", remedy: .downloadAgain))
      }
    }
  }

  /// The folder of the snapshots, and the cache, with and without a slash at the end.
  @Test func theCacheOfOneModelIsRead() throws {
    try withTemporaryFolder { folder in
      let root = try cached(folder, commits: ["0a1", "0b2"], main: "0b2")
      try write("", to: folder + "/version.txt")
      for path in [root + "/snapshots", root + "/snapshots/", folder, folder + "/"] {
        #expect(try Readers.all.read(path).location == "\(root)/snapshots/0b2")
      }
      // Snapshots of a repository without its other folders are of some other program.
      try write("", to: folder + "/other/snapshots/0a1/a.txt")
      #expect(
        refusal(folder + "/other/snapshots", in: folder)?.text.hasPrefix(
          "other/snapshots: a folder that holds 0a1, expected ") == true)
    }
  }

  @Test func aCacheOfSeveralModelsIsRefused() throws {
    try withTemporaryFolder { folder in
      let cache = folder + "/hub"
      for name in ["models--a--b", "models--c--d"] {
        let root = try cached(folder, commits: ["0a1"], main: "0a1")
        try FileManager.default.createDirectory(
          atPath: cache, withIntermediateDirectories: true)
        try FileManager.default.moveItem(atPath: root, toPath: "\(cache)/\(name)")
      }
      // A repository of data is no model.
      try write("", to: cache + "/datasets--e--f/snapshots/0a1/a.txt")
      try write("", to: cache + "/datasets--e--f/refs/main")
      #expect(
        refusal(cache, in: folder)
          == Refusal(
            text: "hub: the cache has more than one model: models--a--b and models--c--d",
            remedy: .act("name one of them, such as \(cache)/models--a--b")))
    }
  }

  /// huggingface_hub makes the link of a file last, or before the file has its name.
  @Test func unfinishedDownloadsInACache() throws {
    try withTemporaryFolder { folder in
      let root = try cached(folder, commits: ["0a1"], main: "0a1")
      let place = "models--a--b/snapshots/0a1/" + Self.weights
      try remove(folder + "/" + place)
      let absent = refusal(root, in: folder)
      #expect(absent?.text.contains(": component 'unet' has no diffusion_pytorch_model") == true)
      #expect(absent?.remedy == .downloadAgain)
      try link(folder + "/" + place, to: "../../../blobs/f00")
      #expect(
        refusal(root, in: folder)
          == Refusal(
            text: "\(place): a symbolic link to '../../../blobs/f00', which does not exist",
            remedy: .downloadAgain))
      try write("x", to: root + "/blobs/f00.incomplete")
      #expect(
        refusal(root, in: folder)
          == Refusal(
            text: "\(place): the download is not finished, as the file 'f00.incomplete' shows",
            remedy: .downloadAgain))
      try remove("\(root)/snapshots/0a1/vae/config.json")
      try remove("\(root)/snapshots/0a1/vae/diffusion_pytorch_model.safetensors")
      try remove("\(root)/snapshots/0a1/vae")
      #expect(refusal(root, in: folder)?.remedy == .downloadAgain)
    }
  }

  /// Elsewhere, a component that is missing can come from another model.
  @Test func aMissingWeightOfAFolderIsAdded() throws {
    try withTemporaryFolder { folder in
      let tiny = try TinyFolder(in: folder)
      try tiny.remove(Self.weights)
      #expect(refusal(tiny.path, in: folder)?.remedy == .addComponents([.unet]))
    }
  }

  @Test func foldersOfFilesNameAFile() throws {
    try withTemporaryFolder { folder in
      try write("x", to: folder + "/f/a.safetensors")
      try write("x", to: folder + "/f/notes.txt")
      #expect(
        refusal(folder + "/f", in: folder)
          == Refusal(
            text: "f: a folder that holds a.safetensors and notes.txt, \(LayoutTests.readable)"
              .replacing(folder + "/", with: ""),
            remedy: .act("name the file \(folder)/f/a.safetensors")))
      try write("x", to: folder + "/f/b.ckpt")
      #expect(
        refusal(folder + "/f", in: folder)?.remedy
          == .act("name one of its files, such as \(folder)/f/a.safetensors"))
    }
  }

  /// Both with and without compression.
  @Test(arguments: [0, 8]) func packedModels(method: Int) throws {
    for (names, entry, thing) in [
      (["sd/unet/config.json", "sd/model_index.json"], "sd/model_index.json", "folder"),
      (["README.md", "model.safetensors"], "model.safetensors", "file"),
    ] {
      try withTemporaryFolder { folder in
        let samples = names.map { name in
          var sample = ZIPSample(name, Array("{}".utf8))
          sample.method = method
          return sample
        }
        try write(zip(samples), to: folder + "/m.zip")
        #expect(
          refusal(folder + "/m.zip", in: folder)
            == Refusal(
              text: "m.zip: a ZIP archive with a model in it ('\(entry)'), expected a file of "
                + "torch.save", remedy: .act("unpack it and name the \(thing)")))
      }
    }
  }
}
