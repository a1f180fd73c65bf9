/// The number of groups in the norms of levels with these channels: 32, or for narrow models the
/// largest power of two below it that divides all of them.
func normGroups(dividing channels: [Int]) -> Int {
  var groups = 32
  while groups > 1, channels.contains(where: { $0 % groups != 0 }) { groups /= 2 }
  return groups
}
