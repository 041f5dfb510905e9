"""What a person looks at: pictures, the viewer, and the report of a result."""
