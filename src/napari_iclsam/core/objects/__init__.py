"""From masks to objects: one id each, and their measurements."""
