-- The version of the protocol, in every claim.
local VERSION = '2'
