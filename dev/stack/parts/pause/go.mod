module stack.daap.local/pause

go 1.26.0
