private import Foundation

/// Outputs that are written, and read again, in a temporary folder, and put in their places together by
/// ``commit()``.
///
/// Until then existing files and folders stay unchanged. Without a commit, everything that was written
/// is removed when the object is deallocated, or by the next run if the process is killed. Symbolic
/// links, permissions and owners are treated as by ``ReplacingFile``.
package final class StagedOutputs {
  private struct Output {
    let path: String
    /// The path to which the output is renamed. For a symbolic link it differs from ``path``.
    let destination: String
    let staged: String
  }

  private let replacing: Bool
  private var outputs: [Output] = []
  /// The temporary folders, by the folder of the outputs: a rename does not leave a file system.
  private var folders: [String: Temporary] = [:]

  package init(replacing: Bool) { self.replacing = replacing }

  deinit { discard() }

  /// Writes an output in its temporary folder.
  ///
  /// - Parameter body: writes a file or folder at `place`, whose name is that of the output.
  /// - Returns: `place`.
  /// - Throws: ``FileError`` when `path` exists and may not be replaced, or is no output, or when the
  ///   temporary folder cannot be created; the errors of `body`.
  @discardableResult
  package func write(
    _ path: String, _ body: (_ place: String) throws -> Void
  ) throws -> String {
    let place = try stage(path)
    do { try body(place) } catch let error as FileError { throw unstaged(error) }
    return place
  }

  private func stage(_ path: String) throws(FileError) -> String {
    let path = folderPath(path)
    let destination = try preparedDestination(of: path, replacing: replacing)
    let parent = PathParts(destination).folder
    if folders[parent] == nil {
      folders[parent] = try Temporary(
        of: destination, shownAs: path, isFolder: true, mode: 0o700)
    }
    // A folder for each: links of the same name may point to different files.
    let folder = "\(folders[parent]?.path ?? parent)/\(outputs.count)"
    if mkdir(folder, 0o700) != 0 { throw FileError(.create, path, errno) }
    let staged = folder + "/" + PathParts(path).name
    outputs.append(Output(path: path, destination: destination, staged: staged))
    return staged
  }

  /// An error of writing or reading a staged output, with the output's own path.
  package func unstaged(_ error: FileError) -> FileError {
    for output in outputs where error.path.hasPrefix(output.staged) {
      return error.renamed(output.path + error.path.dropFirst(output.staged.count))
    }
    return error
  }

  /// Renames every output to its name. After an error, none is in its place, and files and folders
  /// that were there before are again. The one exception are files that were replaced on a file system
  /// without the exchange of names.
  ///
  /// - Throws: ``FileError`` when a file that the job mapped became shorter or was changed, or when a
  ///   call fails.
  package func commit() throws(FileError) {
    do { try MappedFiles.current?.check() } catch { throw unstaged(error) }
    var placed: [(output: Output, placement: Placement)] = []
    do throws(FileError) {
      for output in outputs {
        let placement = try place(
          output.staged, at: output.destination, shownAs: output.path, replacing: replacing,
          exchanging: true)
        placed.append((output, placement))
      }
    } catch {
      for (output, placement) in placed.reversed() { undo(output, placement) }
      throw error
    }
    for (output, placement) in placed {
      if case .moved(let old) = placement { removeTree(old) }
      syncFolder(of: output.destination)
    }
    discard()
  }

  private func undo(_ output: Output, _ placement: Placement) {
    switch placement {
    case .new: rename(output.destination, output.staged)
    case .overwritten: break
    case .moved(let old) where old == output.staged:
      _ = try? exchange(output.staged, output.destination, shownAs: output.path)
    case .moved(let old):
      rename(output.destination, output.staged)
      rename(old, output.destination)
    }
  }

  private func discard() {
    for folder in folders.values {
      removeTree(folder.path)
      close(folder.descriptor)
    }
    folders = [:]
    outputs = []
  }
}
