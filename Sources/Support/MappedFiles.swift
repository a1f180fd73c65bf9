private import CKernels
import Foundation
private import Synchronization

/// The files that a job or a session maps, to find out whether they changed while it read them.
///
/// Reading bytes that a file no longer has would end the process with SIGBUS. They read as zeros
/// instead, so numbers that were read may be wrong until ``check()`` is called. Outputs call it
/// before they replace anything, and ``recording(_:)`` calls it at the end.
package final class MappedFiles: Sendable {
  /// The files of the current task's job.
  @TaskLocal static var current: MappedFiles?

  private let files = Mutex<[OpenedFile]>([])

  package init() {}

  func add(_ file: OpenedFile) { files.withLock { $0.append(file) } }

  /// - Throws: ``FileError`` when one of the files became shorter or was changed; for a file that is
  ///   no longer mapped, once.
  package func check() throws(FileError) {
    let failure = files.withLock { files in
      let failure = files.lazy.compactMap(\.failure).first
      files.removeAll(where: \.isClosed)
      return failure
    }
    if let failure { throw failure }
  }

  /// Runs `body`, records the files that it maps, and checks them at its end.
  ///
  /// - Throws: the error of ``check()``, which explains any other error, or that of `body`.
  package func recording<Result>(
    isolation: isolated (any Actor)? = #isolation, _ body: () async throws -> Result
  ) async throws -> Result {
    do {
      let result = try await Self.$current.withValue(self, operation: body, isolation: isolation)
      try check()
      return result
    } catch let error as CancellationError {
      throw error
    } catch {
      try check()
      throw error
    }
  }
}

/// A file as it was when it was mapped.
final class OpenedFile: Sendable {
  private let path: String
  private let status: stat
  private let state: Mutex<State>

  private struct State {
    /// `nil` for an empty file, and after ``close()``.
    var range: WatchedRange?
    /// The error that was found when the mapping was closed.
    var failure: FileError?
    var isClosed = false
  }

  /// - Parameters:
  ///   - status: the file's status when it was opened.
  ///   - bytes: the mapped range.
  init(_ path: String, _ status: stat, at bytes: UnsafeRawBufferPointer) {
    self.path = path
    self.status = status
    state = Mutex(
      State(range: WatchedRange(bytes)))
  }

  /// Whether the file is no longer mapped.
  var isClosed: Bool { state.withLock { $0.isClosed } }

  /// The error for a file that became shorter or was changed; `nil` for others.
  var failure: FileError? { state.withLock { $0.isClosed ? $0.failure : failure(of: $0) } }

  /// Checks the file a last time, before its range is unmapped.
  func close() {
    state.withLock { state in
      state.failure = failure(of: state)
      state.isClosed = true
      state.range?.forget()
      state.range = nil
    }
  }

  private func failure(of state: State) -> FileError? {
    let isLost = state.range?.isLost ?? false
    var now = stat()
    // A file that was replaced by another of its name keeps its bytes as long as it is mapped.
    guard stat(path, &now) == 0, now.st_dev == status.st_dev, now.st_ino == status.st_ino else {
      return isLost ? FileError(.read, path, EIO) : nil
    }
    if now.st_size < status.st_size {
      return .shortened(path, bytes: Int(now.st_size), opened: Int(status.st_size))
    }
    if now.st_size != status.st_size || now.st_mtim.tv_sec != status.st_mtim.tv_sec
      || now.st_mtim.tv_nsec != status.st_mtim.tv_nsec
    {
      return FileError(.changed, path)
    }
    return isLost ? FileError(.read, path, EIO) : nil
  }
}

/// A mapped range whose bytes become zeros where its file loses them.
///
/// Unchecked: the C functions may be called on any thread.
private struct WatchedRange: @unchecked Sendable {
  private let mapping: OpaquePointer

  /// `nil` for an empty range, and without memory.
  init?(_ bytes: UnsafeRawBufferPointer) {
    guard let base = bytes.baseAddress, let mapping = decant_watch_mapping(base, bytes.count)
    else { return nil }
    self.mapping = mapping
  }

  var isLost: Bool { decant_mapping_is_lost(mapping) != 0 }

  func forget() { decant_forget_mapping(mapping) }
}
