/// `wanted` indices below `count`, evenly spread from the first to the last; all of them where there
/// are fewer.
package func spread(_ wanted: Int, over count: Int) -> Set<Int> {
  let wanted = min(wanted, count)
  guard wanted > 1 else { return wanted == 1 ? [count / 2] : [] }
  return Set((0..<wanted).map { $0 * (count - 1) / (wanted - 1) })
}
