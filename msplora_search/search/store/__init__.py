"""What a study keeps in its database and its folder, and who may write there."""
