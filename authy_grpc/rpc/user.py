"""Serves UserService."""

from authy_grpc.domain.user import Factor
from authy_grpc.rpc import auth, encode
from authy_grpc.rpc.call import Context
from authy_grpc.service.user import Users
from authy_grpc.store.fair import in_slices
from authy_grpc.v1 import user_pb2 as pb
from authy_grpc.v1.user_pb2_grpc import UserServiceServicer

_FACTORS = {encode.factor(factor): factor for factor in Factor}


class UserServicer(UserServiceServicer):
    """The users that a relying site has enrolled."""

    def __init__(self, users: Users) -> None:
        self._users = users

    async def GetUser(self, request: pb.GetUserRequest, context: Context) -> pb.GetUserResponse:
        if request.WhichOneof("key") == "custom_user_id":
            found = await self._users.look_up(auth.site(), request.custom_user_id)
        else:
            found = await self._users.get(auth.site(), request.authy_id)
        return pb.GetUserResponse(user=encode.user(found))

    async def ListUsers(self, request: pb.ListUsersRequest, context: Context) -> pb.ListUsersResponse:
        found, token = await self._users.list_page(auth.site(), request.page_size, request.page_token)
        users = await in_slices(encode.user, found)
        return pb.ListUsersResponse(users=users, next_page_token=token)

    async def DeleteUser(self, request: pb.DeleteUserRequest, context: Context) -> pb.DeleteUserResponse:
        await self._users.delete(auth.site(), request.authy_id)
        return pb.DeleteUserResponse()

    async def UnlockUser(self, request: pb.UnlockUserRequest, context: Context) -> pb.UnlockUserResponse:
        factors = {_FACTORS[each] for each in request.factors}
        unlocked = await self._users.unlock(auth.site(), request.authy_id, factors)
        return pb.UnlockUserResponse(user=encode.user(unlocked))
