import Checkpoints
import Foundation
import ModelSources
import Tensors
import TestSupport
import Testing

private func run(_ tool: String, _ arguments: [String]) -> Bool {
  let process = Process()
  process.executableURL = URL(fileURLWithPath: tool)
  process.arguments = arguments
  process.standardError = FileHandle.nullDevice
  process.standardOutput = FileHandle.nullDevice
  guard (try? process.run()) != nil else { return false }
  process.waitUntilExit()
  return process.terminationStatus == 0
}

/// Mounts a file system of 64 KiB while `body` runs. Returns `nil` where mounting is not permitted.
private func onSmallDisk<Result>(_ body: (String) throws -> Result) throws -> Result? {
  try withTemporaryFolder { folder in
    let mount = ["/usr/bin/mount", "/bin/mount"].first(where: FileManager.default.isExecutableFile)
    guard getuid() == 0, let mount,
      run(mount, ["-t", "tmpfs", "-o", "size=64k", "tmpfs", folder])
    else { return nil }
    defer { _ = run((mount as NSString).deletingLastPathComponent + "/umount", ["-l", folder]) }
    return try body(folder)
  }
}

private let canMount = (try? onSmallDisk { _ in true }) == true

@Suite(.serialized, .enabled(if: canMount, "a file system of 64 KiB may not be mounted here"))
struct DiskFullTests {
  /// Sizes below the writer's buffer, which fail on commit, and above it.
  @Test(arguments: [1 << 15, 1 << 19])
  func aFullDiskLeavesNoFile(count: Int) throws {
    _ = try onSmallDisk { folder in
      let path = folder + "/f.safetensors"
      let source = MemorySource(location: "m", [("w", counting([count]))])
      #expect(
        message { try writeSafetensors(source, to: path) }
          == "cannot write \(path): No space left on device")
      #expect(contents(folder) == [])

      // A file that fits stays when the next one does not fit.
      try writeSafetensors(MemorySource(location: "m", [("w", counting([100]))]), to: path)
      let before = try bytes(path)
      #expect(message { try writeSafetensors(source, to: path, replacing: true) } != "no error")
      #expect(try bytes(path) == before)
      #expect(contents(folder) == ["f.safetensors"])
    }
  }

  @Test func aFullDiskLeavesNoFolder() throws {
    try withTemporaryFolder { source in
      var model = try TinyFolder(in: source).read()
      model["unet"]?.weights = MemorySource(location: "m", [("w", counting([1 << 15]))])
      _ = try onSmallDisk { folder in
        #expect(
          message { try DiffusersFolderWriter().write(model, to: folder + "/out") }
            == "cannot write \(folder)/out/unet/diffusion_pytorch_model.safetensors: No space left on device"
        )
        #expect(contents(folder) == [])
      }
    }
  }
}
