package import ModelSources
package import Support
internal import Tensors

/// Too little free space for an output.
package struct DiskSpaceError: RemediableError, Equatable {
  package let path: String
  /// Bytes that writing the output takes, with what is written beside it.
  package let needed: Int
  /// Whether ``needed`` is an upper bound. Otherwise it is a lower one.
  package let isMost: Bool
  /// What is written beside the output at the same time, in words; `nil` for an output alone.
  package let beside: String?
  /// Free bytes of the output's file system.
  package let free: Int

  package init(
    path: String, needed: Int, isMost: Bool = false, beside: String? = nil, free: Int
  ) {
    self.path = path
    self.needed = needed
    self.isMost = isMost
    self.beside = beside
    self.free = free
  }

  package var description: String {
    "\(path): writing it" + (beside.map { ", and beside it \($0)," } ?? "")
      + " takes \(isMost ? "up to" : "at least") \(formatted(bytes: needed)), and "
      + "\(formatted(bytes: free)) is free in its file system"
  }

  package var remedy: Remedy? { .act("free space or write to another disk") }
}

/// The file systems that jobs write to.
package protocol FileSystems: Sendable {
  /// The bytes that can be written to the folder of a path; `nil` where they are unknown.
  func freeBytes(forWriting path: String) -> Int?
}

/// The file systems of this machine.
private struct LocalFileSystems: FileSystems {
  func freeBytes(forWriting path: String) -> Int? { Support.freeBytes(forWriting: path) }
}

/// The free space of file systems.
package enum DiskSpace {
  /// The file systems that the task's jobs write to.
  @TaskLocal package static var fileSystems: any FileSystems = LocalFileSystems()
}

extension OutputRequest {
  /// Refuses a model that clearly does not fit on the output's disk. An existing output is deleted
  /// last, so its space does not count.
  func checkFreeSpace(for model: ModelSource, by writer: any ModelWriter) throws {
    try requireSpace(try leastBytes(of: model, by: writer), for: path)
  }

  /// A lower bound for the bytes of the output.
  func leastBytes(of model: ModelSource, by writer: any ModelWriter) throws -> Int {
    let isCoded = writer.settings.contains(.coding) && options.codes != false
    // Some programs read the U-Net only.
    let written = try writer.profile(options).fitted(model)
    return Workflow.leastBytes(of: written.components, isCoded: isCoded)
  }
}

/// - Throws: ``DiskSpaceError`` when the file system of `path` has fewer than `needed` free bytes.
///
/// - Parameters:
///   - isMost: whether `needed` is an upper bound instead of a lower one.
///   - beside: what is written beside the output at the same time and counts in `needed`.
func requireSpace(
  _ needed: Int, for path: String, isMost: Bool = false, beside: String? = nil
) throws(DiskSpaceError) {
  guard let free = DiskSpace.fileSystems.freeBytes(forWriting: path) else { return }
  try requireSpace(needed, free: free, for: path, isMost: isMost, beside: beside)
}

/// - Throws: ``DiskSpaceError`` when `free` bytes are fewer than `needed`.
package func requireSpace(
  _ needed: Int, free: Int, for path: String, isMost: Bool = false, beside: String? = nil
) throws(DiskSpaceError) {
  if free < needed {
    throw DiskSpaceError(path: path, needed: needed, isMost: isMost, beside: beside, free: free)
  }
}

/// A lower bound for the bytes of a file of these components, from the shapes and encodings of
/// their tensors.
///
/// - Parameter isCoded: whether numbers are coded without loss. Float16 weights and integer codes
///   shrink to no less than half; float32 weights that hold float16 numbers shrink to 0.44, so they
///   count as a third.
package func leastBytes(of components: [ModelSource.Component], isCoded: Bool) -> Int {
  var bytes = 0
  for component in components {
    for entry in component.weights.entries {
      let divisor = !isCoded ? 1 : entry.encoding == .plain(.f32) ? 3 : 2
      bytes += entry.byteCount / divisor
    }
  }
  return bytes
}
