private import Tensors

/// Uses so many threads for all computing from now on. Results do not depend on it.
package func setThreads(_ count: Int) { Threads.count = count }
