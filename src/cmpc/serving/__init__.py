"""A model behind HTTP and MCP, for programs: requests in, masks out."""
