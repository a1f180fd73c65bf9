private import Foundation

/// Whether a folder stands at `path`; links are followed.
package func isFolder(_ path: String) -> Bool {
  var status = stat()
  return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
}

/// Whether the system lets this process write to what stands at `path`.
package func isWritable(_ path: String) -> Bool { access(path, W_OK) == 0 }
