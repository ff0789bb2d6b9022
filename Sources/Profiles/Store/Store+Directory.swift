extension Store {
    /// Names the data directory, as its genesis does.
    package var directoryID: ProfileID { self.genesis.directoryID }
}
